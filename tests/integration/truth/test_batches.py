"""Large rows: what is in memory at a time is bounded by bytes, and not only by the number of rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.strict_server import StrictServer

LARGE, SMALL, ROWS = 200_000, 20, 1200
_PROGRAM = """
import json, resource, sys, types
from tests.support.task_runs import run_operator
kind, rows, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def generated():
    for n in range(rows):
        note = chr(97 + n % 26) * size
        if kind == "documents":
            note = {"a": [{"b": [{"c": [{"d": [note]}]}]}]}
        elif kind == "sets":
            note = {note}
        elif kind == "objects":
            note = types.SimpleNamespace(text=note)
        yield {"email": f"user{n}@example.com", "_name": f"n{n}", "note": note}
letter = "char(97 + n % 26)" if kind == "sqlite" else "chr(97 + n % 26)"
note = f"replace(hex(zeroblob({size // 2})), '0', {letter})" if kind == "sqlite" else f"repeat({letter}, {size})"
series = (
    f"with recursive s(n) as (select 0 union all select n + 1 from s where n + 1 < {rows}) "
    if kind == "sqlite" else f"with s as (select n from generate_series(0, {rows - 1}) n) "
)
sql = series + f"select 'user' || n || '@example.com' as email, 'n' || n as _name, {note} as note from s"
source = {"sql": sql, "sql_conn_id": kind} if kind in ("postgres", "sqlite") else {"rows": generated()}
end = run_operator(fields="builtin", properties={"_name": "_name"}, **source)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps([end.state, end.summary["created"], peak]))
"""

_small_mb: dict[str, int] = {}
"""The peak with small rows, by source."""


def peak_mb(kind: str, size: int, folder: Path) -> int:
    """The peak of a process's memory, in MB, that delivers rows with a column of a size."""
    environment = os.environ | {"AIRFLOW_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind, str(ROWS), str(size)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    state, created, peak = json.loads(done.stdout.splitlines()[-1])
    assert (state, created) == ("success", ROWS), done.stderr[-2000:]
    return int(peak)


# 3,000 rows of 200 KB added 577 MB: a thousand rows were a batch, three batches were in memory, and 256 rows ahead.
# 1,200 of them are 240 MB, and more than one such batch.
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgres", "sqlite", "generator", "documents", "sets", "objects"])
def test_large_rows_take_little_more_memory_than_small_ones(
    kind: str, strict: StrictServer, request: pytest.FixtureRequest, connection: Any, tmp_path: Path
) -> None:
    if kind == "postgres":
        request.getfixturevalue("postgres")
    connection("sqlite", conn_type="sqlite", host=str(tmp_path / "warehouse.db"))
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=30))
    source = kind if kind in ("postgres", "sqlite") else "generator"
    if source not in _small_mb:
        _small_mb[source] = peak_mb(source, SMALL, tmp_path)
        strict.reset()
    assert peak_mb(kind, LARGE, tmp_path) - _small_mb[source] < 150
