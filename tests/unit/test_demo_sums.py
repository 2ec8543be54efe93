"""The sentences of the demo's acts: their numbers add up."""

from __future__ import annotations

import re
from typing import Any

import pytest

from demo.sums import KilledNight, bad_rows_in_words, rows_in_words

SUMMARY: dict[str, Any] = {"read": 1320, "created": 1270, "updated": 0, "merged": 12, "invalid": 36, "rejected": 2}


def sums(words: str) -> list[tuple[int, int]]:
    """The total and the sum of the parts of each sum in a text."""
    texts = [words[match.end() :].partition(". ")[0].partition(";")[0] for match in re.finditer("=", words)]
    totals = re.findall(r"([\d,]+)[^\d.;=]*=", words)
    numbers = [sum(int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)) for text in texts]
    return list(zip((int(total.replace(",", "")) for total in totals), numbers, strict=True))


def test_the_rows_of_a_run_are_a_sum() -> None:
    assert rows_in_words(SUMMARY) == "1,320 rows = 1,270 created + 12 merged + 36 invalid + 2 rejected"


def test_no_row_is_left_out_of_the_sum() -> None:
    words = rows_in_words({**SUMMARY, "rejected": 0, "skipped": 2})
    assert words.endswith("36 invalid + 2 with another outcome")
    assert rows_in_words({"read": 0}) == "0 rows = none"


def test_a_bad_row_that_was_merged_is_counted() -> None:
    assert bad_rows_in_words(38, SUMMARY) == "38 bad rows = 36 invalid + 2 rejected"
    assert sums(bad_rows_in_words(40, SUMMARY)) == [(40, 40)]


@pytest.mark.parametrize("arrived", [1, 60, 68, 149])
@pytest.mark.parametrize("again", [0, 16])
@pytest.mark.parametrize("after", [150, 149])
def test_the_night_with_the_kill_is_a_sum_wherever_the_kill_came(arrived: int, again: int, after: int) -> None:
    second = after - arrived + again
    night = KilledNight(
        changes=150, arrived=arrived, after=after, first=arrived, second=second, others=2, recorded=second + 50
    )
    assert sums(night.words) == [(150, 150), (second, second), (arrived + second + 2, arrived + second + 2)]
    assert ("none is lost" in night.words) == (after == 150)
