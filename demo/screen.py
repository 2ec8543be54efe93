"""What the demo prints: plain text at 80 columns, in colour where there is a terminal."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from demo.log_lines import Message

WIDTH = 80
_LEAST_WIDTH = 40
_SILENCE_S = 10.0
_DETAILS = 5  # of one message; the whole of it is in the log
_BOLD, _QUIET, _RED, _GREEN, _YELLOW, _BLUE = "1", "2", "1;31", "32", "33", "1;36"
_OF_LEVEL = {"WARNING": _YELLOW, "ERROR": _RED, "CRITICAL": _RED}


class Screen:
    """Prints the story. Every line has at most ``width`` characters.

    :param out: where to.
    :param width: characters in a line.
    :param coloured: with the colours of a terminal.
    :param clock: seconds, from any moment on.
    """

    def __init__(
        self, out: TextIO, *, width: int = WIDTH, coloured: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out, self._width, self._coloured, self._clock = out, width, coloured, clock
        self._started = self._printed_at = clock()
        self._shown: set[str] = set()
        self.activity = "still at work"
        """What is under way, in words, for :meth:`tick`."""

    @classmethod
    def of(cls, out: TextIO, environment: Mapping[str, str]) -> Screen:
        """Coloured, and as wide as the terminal is, up to 80 columns, if ``out`` is one; ``NO_COLOR`` is respected."""
        if not out.isatty():
            return cls(out)
        width = max(_LEAST_WIDTH, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))
        return cls(out, width=width, coloured=not environment.get("NO_COLOR") and environment.get("TERM") != "dumb")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def tick(self) -> None:
        """Say what is under way if nothing was printed for ten seconds."""
        if self._clock() - self._printed_at >= _SILENCE_S:
            self._wrapped(self._time, f"… {self.activity}", _QUIET)

    def act(self, number: int, title: str, words: str) -> None:
        """The beginning of an act: what is about to happen."""
        self._print()
        self._print(f"── {number}. {title} ".ljust(self._width, "─"), _BLUE)
        self.paragraph(words)

    def paragraph(self, words: str) -> None:
        """Some sentences."""
        self._wrapped("", words)

    def command(self, words: str) -> None:
        """A command that is run now."""
        self._print()
        self._wrapped("$ ", words, _BOLD)

    def log(self, message: Message) -> None:
        """A message of the task's log, with the demo's own time. Details that were shown before are left out."""
        self._wrapped(self._time, message.text, _OF_LEVEL.get(message.level, ""))
        fresh = [detail for detail in message.details if detail not in self._shown][:_DETAILS]
        self._shown.update(message.details)
        lead = " " * len(self._time) + "  "
        for detail in fresh:
            self._wrapped(lead, detail, _QUIET)
        if hidden := len(message.details) - len(fresh):
            self._wrapped(lead, f"… {hidden} more {'line' if hidden == 1 else 'lines'} in the log", _QUIET)

    def result(self, words: str) -> None:
        """The outcome of an act."""
        self._print()
        self._wrapped("→ ", words, _BOLD)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Cells flush right below their columns."""
        label_width = max(len(label) for label, _ in rows) + 2
        cell_width = (self._width - label_width) // len(columns)
        self._print()
        self._print(title, _BOLD)
        for label, cells in (("", columns), *rows):
            self._print(f"{label:<{label_width}}" + "".join(f"{cell:>{cell_width}}" for cell in cells))

    def heading(self, title: str) -> None:
        """A line above a list."""
        self._print()
        self._print(title, _BOLD)

    def facts(self, facts: Mapping[str, str]) -> None:
        """A list of names with a few words on each."""
        width = max(map(len, facts)) + 2
        for name, words in facts.items():
            self._wrapped(f"  {name:<{width}}", words)

    def check(self, words: str, *, holds: bool) -> None:
        """A check, and whether it holds."""
        self._wrapped("  ok  " if holds else "  FAILED: ", words, _GREEN if holds else _RED)

    @property
    def _time(self) -> str:
        return f"{self.seconds:5.0f} s  "

    def _wrapped(self, lead: str, words: str, colour: str = "") -> None:
        lines = textwrap.wrap(
            words,
            self._width,
            initial_indent=lead,
            subsequent_indent=" " * len(lead),
            break_on_hyphens=False,
        )
        for line in lines:
            self._print(line, colour)

    def _print(self, line: str = "", colour: str = "") -> None:
        line = line[: self._width]
        print(f"\x1b[{colour}m{line}\x1b[0m" if colour and self._coloured else line, file=self._out, flush=True)
        self._printed_at = self._clock()
