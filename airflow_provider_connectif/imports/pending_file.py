"""The rows of a file that is no longer on disk, out of what is pending in the journal's database."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.ledger import Ledger, ledger_note
from airflow_provider_connectif.journal.plan import PendingRow
from airflow_provider_connectif.records.changes import Digests, Patch


def restored_file(stem: Path, rows: Iterable[PendingRow], key_property: str) -> ImportFile:
    """A file of the keys alone, as the journal writes them, in the order of its lines.

    An error report can be matched to it by keys, not by line numbers, which need the other cells to be sure.

    :param stem: of the files that are written.
    """
    path, ledger_path = stem.with_suffix(".csv"), stem.with_suffix(".ledger")
    count = 0
    with path.open("wb") as content, ledger_path.open("wb") as notes:
        content.write(f"{key_property}\r\n".encode())
        for row in rows:
            line = _quoted(row.written_key).encode()
            digests = None if row.row_digest is None else Digests(row.row_digest, row.patch_digest or "", "")
            patch = Patch(row.number, row.written_key, {}, {}, digests)
            content.write(line)
            notes.write(ledger_note(patch, row.written_key, len(line), row.row_digest is not None, False))
            count += 1
    return ImportFile(path, (key_property,), count, path.stat().st_size, Ledger(ledger_path), ",")


def _quoted(key: str) -> str:
    return '"' + key.replace('"', '""') + '"\r\n'
