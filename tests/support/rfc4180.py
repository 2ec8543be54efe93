"""A reader of RFC 4180, written from the RFC alone: strict, a character at a time. The judge of the files we write."""

from __future__ import annotations


def parse(text: str, delimiter: str = ",") -> list[list[str]]:
    """The records of a text whose every line ends with CRLF.

    :raises ValueError: whatever the grammar does not allow.
    """
    records: list[list[str]] = []
    record: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == '"':
            cell, at = _escaped(text, at + 1)
        else:
            start = at
            while at < len(text) and text[at] not in (delimiter, "\r", "\n", '"'):
                at += 1
            cell = text[start:at]
        record.append(cell)
        if text.startswith(delimiter, at):
            at += 1
            if text.startswith("\r\n", at):  # the last cell is empty
                record.append("")
        if text.startswith("\r\n", at):
            records.append(record)
            record = []
            at += 2
        elif at >= len(text) or (text[at - 1] != delimiter):
            raise ValueError(f"neither a delimiter nor the end of a line at {at}")
    if record:
        raise ValueError("the last line does not end")
    return records


def _escaped(text: str, at: int) -> tuple[str, int]:
    """A quoted cell from after its first quote, and where the text goes on after its last."""
    cell = ""
    while True:
        end = text.index('"', at)
        cell += text[at:end]
        if not text.startswith('""', end):
            return cell, end + 1
        cell += '"'
        at = end + 2
