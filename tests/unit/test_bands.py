"""The picture of a run: its heights are its numbers, and its words are nothing but text."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from airflow_provider_connectif.look.bands import GROUPS, Part, draw, picture_of_rows
from airflow_provider_connectif.records.outcomes import Outcome

COUNTS = {"created": 270, "updated": 30, "unchanged": 600, "invalid": 95, "held": 5, "requests": 348}


def heights(picture: str) -> dict[str, list[float]]:
    """The heights of the bars, by group and in their order: first that of the group, then those of its parts."""
    found = defaultdict(list)
    for group, height in re.findall(r'<rect class="g-(\w+)"[^>]* height="([\d.]+)"', picture):
        found[group].append(float(height))
    return found


def test_the_groups_share_the_first_bar_by_their_numbers() -> None:
    bars = heights(picture_of_rows(1_000, COUNTS))
    read, delivered, settled, refused = (bars[group][0] for group in ("read", "delivered", "settled", "refused"))
    assert delivered / refused == pytest.approx(3, rel=0.02)
    assert settled / delivered == pytest.approx(2, rel=0.02)
    assert delivered + settled + refused == pytest.approx(read - 12, abs=0.5)  # two gaps


def test_parts_that_are_few_can_still_be_seen() -> None:
    bars = heights(picture_of_rows(1_000, COUNTS))
    assert [len(bars[group]) for group in ("delivered", "settled", "refused", "undelivered")] == [3, 2, 3, 0]
    assert min(bars["refused"][1:]) == 20


def test_what_is_shown_is_also_there_in_words() -> None:
    (label,) = re.findall(r'aria-label="([^"]*)"', picture_of_rows(1_000, {**COUNTS, "not_taken": 1_200}))
    assert label == ("1,000 rows read: 270 created, 30 updated, 600 unchanged, 1,200 not taken, 95 invalid, 5 held")


@pytest.mark.parametrize("counts", [{}, {"created": 0, "requests": 3}])
def test_a_run_without_an_outcome_has_words_instead(counts: dict[str, int]) -> None:
    assert picture_of_rows(5, counts) == '<p class="quiet">No row has an outcome yet.</p>'


def test_words_are_nothing_but_text() -> None:
    picture = draw("<b>", [Part("refused", '<script>"\u202e', 1)])
    assert "<b>" not in picture
    assert "<script>" not in picture
    assert "\u202e" not in picture
    assert "1 &lt;script&gt;&quot;\ufffd" in picture


def test_each_outcome_of_a_row_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(Outcome)
