"""The lint of words finds each refused phrase, wherever prose may stand, and nothing in code."""

from __future__ import annotations

import pytest

from tools import check_words
from tools.check_words import EXCEPTIONS, ROOT, Prose, faults_in, prose_of

PACKAGE = "airflow_provider_connectif/module.py"


def refused(text: str, place: str = PACKAGE) -> list[str]:
    """The phrases that the lint refuses in a text."""
    return [fault.split('"')[1] for fault in faults_in(place, Prose(1, text))]


@pytest.mark.parametrize(
    ("sentence", "phrase"),
    [
        ("The journal is read anew.", "anew"),
        ("It begins afresh.", "afresh"),
        ("Rows are worked off in batches.", "worked off"),
        ("A row that nobody that reads it expects.", "nobody that"),
        ("The key is none of those in the journal.", "is none of"),
        ("The table lacks a column.", "lacks"),
        ("Lacking a column, it fails.", "Lacking"),
        ("The log tells of the wait.", "tells"),
        ("The run was told to stop.", "told"),
        ("The one writes the journal, the other reads it.", "The one writes the journal, the other"),
        ("Once the run is over, the journal is closed.", "is over"),
        ("The rows that were over the limit.", "were over"),
        ("Mend the row and clear the task.", "Mend"),
        ("Any value, be it a text or a number.", "be it"),
        ("The plan is sent as well as may be.", "as well as may be"),
        ("It does not so much as read the source.", "so much as"),
        ("Connectif's answer has no body.", "answer"),
        ("The server answered with 422.", "answered"),
        ("The run\n    is\n    over.", "is over"),
    ],
)
def test_a_refused_phrase_is_found(sentence: str, phrase: str) -> None:
    assert refused(sentence) == [phrase]


@pytest.mark.parametrize(
    "sentence",
    [
        "The run has finished; the limit was exceeded.",
        "A recommendation goes over the wire, and the average is taken over 100 rows.",
        "Set ``no_answer`` to retry; see ``Response.body`` and :class:`NoResponseError`.",
        ":param tell: called with a log message.",
        "::: airflow_provider_connectif.api.transport.Response",
        "It is one of three ways. The other two are slower.",
        "A slack channel, an amendment, a teller.",
    ],
)
def test_plain_sentences_and_names_pass(sentence: str) -> None:
    assert refused(sentence) == []


CODE = '''"""Reads
anew."""

# A comment of two lines, since the run is
# over by then.
told = "is over"  # afresh


class Thing:
    """What a thing is."""

    field = 1
    """It lacks a text."""

    def tell(self, answer: str) -> str:
        return f"the run was told {answer} to stop"
'''


@pytest.mark.parametrize(
    ("place", "lines"), [(PACKAGE, {2, 4, 6, 10, 13, 16}), ("tests/unit/test_it.py", {2, 4, 6, 13})]
)
def test_comments_docstrings_and_texts_are_read(place: str, lines: set[int]) -> None:
    found = [
        fault
        for prose in prose_of(CODE, with_strings=place == PACKAGE)
        for fault in faults_in(place, prose, is_of_package=place == PACKAGE)
    ]
    assert {int(fault.split(":")[1]) for fault in found} == lines


@pytest.mark.parametrize("word", ["What", "How", "Which", "Who", "Where", "When", "Why"])
def test_a_docstring_of_the_package_does_not_begin_with_a_question(word: str) -> None:
    docstring = Prose(3, f"{word} the run does.", is_docstring=True)
    assert list(faults_in(PACKAGE, docstring, is_of_package=True)) == [
        f'{PACKAGE}:3: a docstring begins with "{word}"; write: what it does or is'
    ]
    assert not list(faults_in("tests/unit/test_it.py", docstring))


def test_an_exception_holds_for_its_files_only() -> None:
    assert refused("The answers to a survey.", "demo/scenario.py") == []
    assert refused("The answers to a survey.", "docs/index.md") == ["answers"]
    assert refused("The demo was told so.", "demo/scenario.py") == ["told"]


@pytest.mark.slow
def test_the_repository_is_in_plain_words_but_for_the_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    monkeypatch.setattr(check_words, "EXCEPTIONS", ())
    faults = [fault for path in check_words.files() for fault in check_words.faults_of(path)]
    excused = {
        fault: one for fault in faults for one in EXCEPTIONS if fault.startswith(one.place) and one.phrase in fault
    }
    assert [fault for fault in faults if fault not in excused] == []
    assert all(one.reason and one in excused.values() for one in EXCEPTIONS)
