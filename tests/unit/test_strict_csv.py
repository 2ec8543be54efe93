"""The strict server's own reading of CSV gives back what the standard library wrote, whatever is in the cells."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from tests.support.strict_csv import count_rows, records

HARD = 'a"\n\r,;|=\0ñ🙂 \u2028\t'


@pytest.mark.sampled(2)
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("width", [2, 200])
def test_cells_come_back_as_they_were_written(tmp_path: Path, delimiter: str, quoting: int, width: int) -> None:
    dice = random.Random(1)
    rows = [[f"c{n}" for n in range(width)]]
    rows += [["".join(dice.choices(HARD, k=dice.randint(0, 6))) for _ in range(width)] for _ in range(50)]
    with (path := tmp_path / "file.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    assert list(records(path, delimiter)) == rows
    assert count_rows(path, delimiter) == 50
