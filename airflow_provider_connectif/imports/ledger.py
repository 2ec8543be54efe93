"""What stands beside each file of an import: where every line came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow_provider_connectif.records.changes import Digests, JsonValue, LedgerRow, Patch

_encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def ledger_note(patch: Patch, key: str, length: int, complete: bool, keep_properties: bool) -> bytes:
    """The note of one row: values between tabs, the length first; keys have no tabs."""
    row, sent, mapping = patch.digests or ("", "", "")
    properties = _encode_json(patch.properties) if keep_properties else ""
    written_key = "" if key == patch.key else patch.key
    return (
        f"{length}\t{patch.number}\t{complete:d}\t{row}\t{sent}\t{mapping}\t{properties}\t{key}\t{written_key}\n"
    ).encode()


def length_in(note: bytes) -> int:
    """Bytes of the line that a note is about."""
    return int(note[: note.index(b"\t")])


class Ledger:
    """The notes of one file, read from disk one by one.

    :param path: where they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[LedgerRow]:
        """The file's lines in their order."""
        for row, _ in self._parsed():
            yield row

    def patches(self, key_property: str) -> Iterator[Patch]:
        """The patches that the lines were made of, to be delivered one by one instead; keys as they came.

        ``row`` of each is what is sent, with the key: the source's row is not kept.

        :raises ValueError: the properties were not kept.
        """
        for row, text in self._parsed():
            if not text:
                raise ValueError("the ledger does not hold the properties: ImportFiles needs keep_properties=True")
            properties: Mapping[str, JsonValue] = json.loads(text)
            yield Patch(
                row.number, row.written_key, properties, {key_property: row.written_key, **properties}, row.digests
            )

    def _parsed(self) -> Iterator[tuple[LedgerRow, str]]:
        with self.path.open(encoding="utf-8", newline="\n") as notes:
            for line, note in enumerate(notes):
                length, number, complete, row, sent, mapping, properties, key, written = note[:-1].split("\t")
                digests = Digests(row, sent, mapping) if row or sent else None
                yield (
                    LedgerRow(line, int(number), key, written or key, digests, complete == "1", int(length)),
                    properties,
                )
