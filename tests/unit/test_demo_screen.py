"""What the demo prints: at 80 columns, in colour only where there is a terminal, and never silent for long."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from demo.log_lines import LogReader, Message
from demo.screen import Screen
from tests.support.clock import FakeClock

HEAD = "2026-03-01T00:00:00.123456Z {level} airflow.task.operators.airflow_provider_connectif.operators.x.Y: "
LONG = "Thequickbrownfox" * 12


class Terminal(io.StringIO):
    """Says of itself that it is one."""

    def isatty(self) -> bool:
        return True


def printed(out: io.StringIO) -> list[str]:
    return out.getvalue().splitlines()


def everything(screen: Screen) -> None:
    """Whatever a screen can print, with words of any length."""
    words = f"Some words, {LONG} and {'others ' * 30}"
    screen.paragraph(words)
    screen.act(1, words[:300], words)
    screen.command(words)
    screen.log(Message("WARNING", words, tuple(f"{number} {words}" for number in range(9))))
    screen.result(words)
    screen.heading(words)
    screen.facts({"name": words, "longer name": "short"})
    screen.table("Title", [f"{number} column" for number in range(6)], [("label", ["success"] * 6)])
    screen.check(words, holds=True)
    screen.check(words, holds=False)


def test_no_line_is_longer_than_80_columns() -> None:
    out = io.StringIO()
    everything(Screen.of(out, {}))
    assert max(map(len, printed(out))) == 80
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["a terminal", "NO_COLOR", "a dumb one"],
)
def test_colour_where_there_is_a_terminal(
    environment: dict[str, str], is_coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = Terminal()
    everything(Screen.of(out, environment))
    assert ("\x1b[" in out.getvalue()) == is_coloured
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in printed(out)) == 80


def test_a_narrow_terminal_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    out = Terminal()
    Screen.of(out, {"NO_COLOR": "1"}).paragraph("words " * 40)
    assert max(map(len, printed(out))) <= 50


def test_what_is_under_way_is_said_after_ten_seconds_of_silence() -> None:
    out, clock = io.StringIO(), FakeClock()
    screen = Screen(out, clock=clock.monotonic)
    screen.activity = "Airflow is loading"
    for _ in range(250):
        clock.sleep(0.1)
        screen.tick()
    assert printed(out) == ["   10 s  … Airflow is loading", "   20 s  … Airflow is loading"]


def test_details_are_shown_once_and_not_without_end() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.log(Message("INFO", "First", tuple(f"detail {number}" for number in range(7))))
    screen.log(Message("INFO", "Second", ("detail 6", "a new one")))
    assert [line.strip() for line in printed(out)] == [
        *("0 s  First", "detail 0", "detail 1", "detail 2", "detail 3", "detail 4", "… 2 more lines in the log"),
        *("0 s  Second", "a new one", "… 1 more line in the log"),
    ]


def messages(*lines: str) -> list[Message]:
    shown: list[Message] = []
    reader = LogReader(shown.append)
    for line in lines:
        reader.feed(line)
    reader.flush()
    return shown


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [
                HEAD.format(level="INFO") + "Done: 3 rows,",
                "    1 request",
                "  Budget: 1 of",
                "      2",
                "  Duration: 1 s",
            ],
            [Message("INFO", "Done: 3 rows, 1 request", ("Budget: 1 of 2", "Duration: 1 s"))],
            id="a message that is folded, with details",
        ),
        pytest.param(
            [HEAD.format(level="INFO") + "One", HEAD.format(level="WARNING") + "Two"],
            [Message("INFO", "One"), Message("WARNING", "Two")],
            id="one after the other",
        ),
        pytest.param(
            ["2026-03-01T00:00:00Z INFO airflow.models.dag: not ours", "  a detail of it", "no log line at all"],
            [],
            id="what others write",
        ),
        pytest.param(
            [
                "Traceback (most recent call last):",
                '  File "x.py", line 1, in y',
                "airflow.sdk.exceptions.AirflowFailException: Connectif refused the API key:",
                "    it is wrong",
            ],
            [Message("ERROR", "Connectif refused the API key: it is wrong")],
            id="the exception that a task fails with",
        ),
        pytest.param(
            [HEAD.format(level="INFO") + "One", "", "  not a detail"], [Message("INFO", "One")], id="a line between"
        ),
    ],
)
def test_the_providers_messages_out_of_the_log(lines: list[str], expected: list[Message]) -> None:
    assert messages(*lines) == expected


def test_the_words_of_a_failure_are_kept() -> None:
    shown: list[Any] = []
    reader = LogReader(shown.append)
    for line in ("airflow.exceptions.AirflowException: No", HEAD.format(level="INFO") + "Later"):
        reader.feed(line)
    assert (reader.failure, [message.level for message in shown]) == ("No", ["ERROR"])
