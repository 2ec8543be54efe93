"""From streamed rows to checked files for the bulk import: rows a second, memory, and what a bare csv.writer takes.

    python -m benchmarks.import_files [rows]

So many rows (default 1,000,000) of ten properties, made one by one as a source would hand them over, go through
mapping and checks into files; the time of making the rows is measured and taken off. The peer is ``csv.writer`` on
ready-made strings, in the same process. Each case is a process of its own: as it is; with the digests of a journal
(without a goal: they cost as much as by PATCH); and with half of the cells of six columns empty, by column (the peer
writes as many rows of all columns).
"""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFiles
from airflow_provider_connectif.imports.shapes import Layout
from airflow_provider_connectif.journal.digests import RowDigester, mapping_digest, patch_digest
from airflow_provider_connectif.records.changes import Digests, Patch
from benchmarks.common import Figures
from benchmarks.journal import resident_mb
from benchmarks.mapping import MAPPING, rows

ROWS = 1_000_000
CASES: dict[str, dict[str, bool]] = {
    "as it is": {},
    "with a journal's digests": {"digests": True},
    "half of six columns empty, by column": {"sparse": True},
}
OPTIONAL = ("birthdate", "mobile", "newsletter", "work_email", "lifetime_value", "tier")


def stream(count: int, sparse: bool) -> Iterator[dict[str, Any]]:
    """Rows one by one; of sparse ones each optional column is filled in every other row, by a pattern of its own."""
    samples = rows(1000)
    for n in range(count):
        row = {**samples[n % 1000], "email": f"user{n}@example.com", "points": n, "surname": f"García {n}"}
        if sparse:
            row |= {name: None for bit, name in enumerate(OPTIONAL) if n >> bit & 1 and name in row}
        yield row


def with_digests(mapping: ContactMapping) -> Any:
    row_digest, digest = RowDigester(mapping), mapping_digest(mapping)

    def add(row: dict[str, Any], patch: Patch) -> Patch:
        return patch._replace(digests=Digests(row_digest(row), patch_digest(patch.properties), digest))

    return add


def written(folder: Path, count: int, sparse: bool, digests: bool) -> tuple[int, int, float]:
    """Files, contacts in them, and the seconds that they took."""
    add_digests = with_digests(MAPPING) if digests else None
    properties = MAPPING.properties or {}
    columns = frozenset(pid for pid, column in properties.items() if column in OPTIONAL)
    began_at = time.perf_counter()
    with ImportFiles(folder, MAPPING, Layout(columns) if sparse else None) as files:
        for number, row in enumerate(stream(count, sparse), 1):
            patch = MAPPING.patch(number, row)
            files.add(patch if add_digests is None else add_digests(row, patch))
        made = files.close()
        return len(made), files.rows, time.perf_counter() - began_at


def bare_writer_s(path: Path, count: int) -> float:
    """Seconds that csv.writer takes for as many rows that are text already."""
    lines = [[str(value) for value in MAPPING.patch(1, row).properties.values()] for row in stream(1000, False)]
    keyed = [[f"user{n}@example.com", *line] for n, line in enumerate(lines)]
    with path.open("w", encoding="utf-8", newline="") as file:
        began_at = time.perf_counter()
        write = csv.writer(file).writerow
        for n in range(count):
            write(keyed[n % 1000])
        return time.perf_counter() - began_at


def child(case: str, count: int) -> None:
    settings = {"sparse": False, "digests": False, **CASES[case]}
    for row in stream(2000, False):
        MAPPING.patch(1, row)  # loads what is loaded when first used
    with tempfile.TemporaryDirectory() as folder:
        start_mb = resident_mb()
        began_at = time.perf_counter()
        for _ in stream(count, settings["sparse"]):
            pass
        making_s = time.perf_counter() - began_at
        cpu_s = time.process_time()
        files, contacts, took_s = written(Path(folder) / "files", count, **settings)
        cpu_s = time.process_time() - cpu_s - making_s
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {
            "rows_s": count / (took_s - making_s),
            "cpu_rows_s": count / cpu_s,
            "bare_rows_s": count / bare_writer_s(Path(folder) / "bare.csv", count),
            "above_mb": peak_mb - start_mb,
            "files": files,
            "files_s": files / (took_s - making_s),
            "lost": count - contacts,
        }
    print(json.dumps(figures))


def main(count: int) -> int:
    figures = Figures()
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.import_files", str(count), case]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        run = json.loads(output.splitlines()[-1])
        print(f"{count:,} rows of ten properties, {case}")
        figures.show(
            "  mapped, checked and written", run["rows_s"], "rows/s", least=30_000 if case == "as it is" else None
        )
        figures.show("  the same by the time of the processor alone", run["cpu_rows_s"], "rows/s")
        figures.show("  a bare csv.writer on ready-made strings", run["bare_rows_s"], "rows/s")
        figures.show("  times the bare writer's time", run["bare_rows_s"] / run["rows_s"], "times")
        figures.show("  memory above the start", run["above_mb"], "MB", most=80)
        most = None if count > ROWS else 11 if "column" in case else 4
        figures.show("  files", run["files"], "", most=most)
        figures.show("  files a second", run["files_s"], "files/s")
        figures.show("  rows lost", run["lost"], "", most=0)
    return figures.exit_code()


if __name__ == "__main__":
    rows_wanted = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    if len(sys.argv) > 2:
        child(sys.argv[2], rows_wanted)
    else:
        sys.exit(main(rows_wanted))
