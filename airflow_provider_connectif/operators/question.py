"""Computes the digests of the question that a task asks its source: the SQL, its parameters, and those of the hook.

The digests are of the arguments before they are rendered, because these are the same in each run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_connectif.operators.sync_arguments import SyncArguments


def digests_of_question(operator: SyncArguments) -> dict[str, str]:
    """Return the digests for :func:`airflow_provider_connectif.records.reads.identity_of`, by name.

    An argument without a value has no digest. ``sql`` has none if it is the name of a file.
    """
    sql = operator.sql
    is_file = isinstance(sql, str) and sql.endswith(tuple(operator.template_ext))
    digests = {
        "sql_digest": _digest(sql) if isinstance(sql, str) and not is_file else None,
        "hook_digest": _digest_of_values(operator.hook_params),
        "parameters_digest": _digest_of_values(operator.parameters),
    }
    return {name: digest for name, digest in digests.items() if digest is not None}


def _digest_of_values(values: Any) -> str | None:
    # Keys that JSON does not have are skipped: no database accepts them, and the database's error names them better.
    return _digest(json.dumps(values, skipkeys=True, default=_as_json)) if values else None


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    # For other objects only the class counts: their text may differ from process to process.
    return str(value) if isinstance(value, (date, Decimal)) else type(value).__qualname__


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
