"""Lines that are too long for Airflow's log view are continued on the next line."""

from __future__ import annotations

import random
import re

import pytest

from airflow_provider_connectif.reporting.folding import LINE_LIMIT, FoldedLog, folded
from tests.support.task_logs import unfolded

PATH = "/mnt/" + "a_long_name/" * 12 + "rejects.jsonl"


class Kept:
    """A log that keeps what it gets."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def debug(self, message: str, /, *args: object) -> None:
        self.lines.append(("debug", message % args))

    def info(self, message: str, /, *args: object) -> None:
        self.lines.append(("info", message % args))

    def warning(self, message: str, /, *args: object) -> None:
        self.lines.append(("warning", message % args))


def test_a_short_text_stays_as_it_is() -> None:
    text = "Done:  3 rows\n  Duration: 1.0 s"
    assert folded(text) == text


def test_a_long_line_is_broken_after_a_clause() -> None:
    first = "The plan is older than plan_max_age, so the task fails:"
    second = "the next attempt reads the source again and sends what is left to send"
    assert folded(f"{first} {second}") == f"{first}\n    {second}"


def test_what_follows_a_colon_stays_beside_it_if_a_clause_ends_before() -> None:
    first = "Failure budget: 8 refused, 15 allowed (20 % of the rows read);"
    second = "new refusals: 0, 0 allowed (20 % of the rows that needed delivery)"
    assert folded(f"  {first} {second}") == f"  {first}\n      {second}"


def test_a_list_is_broken_after_one_of_its_items() -> None:
    items = ", ".join(f"property_{number}" for number in range(12))
    assert all(line.endswith(",") for line in folded(items).split("\n")[:-1])


def test_a_detail_is_continued_with_a_deeper_indentation() -> None:
    head, *rest = folded("Not delivered:\n  3 x " + "word " * 40).split("\n")
    assert head == "Not delivered:"
    assert rest[0].startswith("  3 x word")
    assert all(line.startswith("      word") for line in rest[1:])


@pytest.mark.parametrize("path", [PATH, repr(PATH), repr(PATH.replace("_", " "))], ids=["bare", "quoted", "spaces"])
def test_a_path_stands_alone_on_its_line(path: str) -> None:
    lines = folded(f"The rows that were not delivered are in {path} since this morning").split("\n")
    assert [line.strip() for line in lines if len(line) > LINE_LIMIT] == [path]


def test_any_text_is_folded_and_can_be_unfolded() -> None:
    chance = random.Random(7)
    for _ in range(300):
        words = [chance.choice("abcé;,.:") * chance.randrange(1, 40) for _ in range(chance.randrange(1, 60))]
        text = " ".join(words)
        assert max(map(len, folded(text).split("\n"))) <= LINE_LIMIT
        assert unfolded(folded(text)) == text


def test_a_log_gets_folded_lines_at_each_level() -> None:
    kept = Kept()
    log = FoldedLog(kept)
    for write in (log.debug, log.info, log.warning):
        write("%s of %d %%", "word " * 30, 7)
    assert [level for level, _ in kept.lines] == ["debug", "info", "warning"]
    assert all(re.search(r"of 7 %$", text) and "\n    word" in text for _, text in kept.lines)
    log.info("100 % of them")  # without arguments it is no template
    assert kept.lines[-1] == ("info", "100 % of them")
