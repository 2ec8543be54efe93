"""The command line as a program of its own: what it reads and writes may be closed, full, or in another encoding."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from tests.integration.test_command_line import _AS_MODULE, journal, night, row  # noqa: F401
from tests.support.journals import deliver
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.usefixtures("airflow_db", "journal")

_LIVE = "exec {program} explain ana@example.com --sync-id nightly --live --show-values"
_STRICT = "export PYTHONIOENCODING=utf-8:strict; "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("exec {program} explain - --sync-id nightly <&-", 2, "KEY is not a valid e-mail address"),
        (
            _STRICT + r"printf '\377@b.es' | {program} explain - --sync-id nightly",
            2,
            "KEY is not a valid e-mail address",
        ),
        ("exec {program} journal purge <&-", 1, "nothing was deleted"),
        ("exec {program} journal runs >/dev/full", 1, "the output cannot be written: No space left on device"),
        ("exec {program} explain ana@example.com --sync-id nightly >/dev/full", 1, "the output cannot be written"),
        (_STRICT + _LIVE + " -o json", 0, ""),
        (_STRICT + _LIVE + " -o yaml", 0, ""),
        (_STRICT + _LIVE, 0, ""),
        (_STRICT + _LIVE + " -o plain", 0, ""),
        ("export PYTHONIOENCODING=latin-1; " + _LIVE + " -o json", 0, ""),
        ("export PYTHONIOENCODING=ascii; " + _LIVE, 0, ""),
    ],
)
def test_a_stream_that_is_unusual_gives_a_message_and_a_code(
    line: str,
    code: int,
    words: str,
    journal: Any,  # noqa: F811
    strict: StrictServer,
) -> None:
    night(1, row("ana", _points=1, _name="Ana"))
    journal.query("update connectif_journal_outcomes set at = '2020-01-01'")  # so that a purge has to ask
    shown = {"text": '{"_email": "ana@example.com", "_name": "\\ud83d 日本"}', "content_type": "application/json"}
    strict.update(faults=[{"method": "GET", "status": 200, **shown}])
    line = line.format(program=" ".join(_AS_MODULE))
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=os.environ, timeout=60, check=False)
    said = done.stderr.decode("utf-8", "replace")
    assert (done.returncode, "Traceback" in said) == (code, False), said
    assert words in said


def test_of_a_sync_whose_imports_keep_contacts_the_next_import_is_explained(
    command: Any,
    query: Any,
    strict: StrictServer,
) -> None:
    contacts = {"sync_id": "nightly", "rows": [row("ana", _points=1)], "journal_conn_id": "journal"}
    by_import = {"kind": "ContactImportOperator", "on_existing": "keep", "poll_interval": 0.1, "fields": "builtin"}
    assert deliver("1", **contacts, **by_import).state == "success"
    asked = ("explain", "ana@example.com", "--sync-id", "nightly", *query(row("ana", _points=1)), "--fields", "builtin")
    shown = command(*asked, "--on-existing", "keep", "--output", "json")
    assert shown.data["row"]["outcome"] == "unchanged", shown.err
