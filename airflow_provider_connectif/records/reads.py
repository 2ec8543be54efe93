"""The record of a complete read: a source that was read to its end, and whose whole plan was sent.

A contact has left the source only in comparison with such a read, and only if both reads asked the same question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IDENTITY_RULE = 1
"""To be raised when the same contact gets another key in the journal: a contact that seems to be missing may then only
have another spelling."""


@dataclass(frozen=True)
class LastRead:
    """The last complete read.

    :param run_id: the id of the run that read.
    :param generation: of the process that read.
    :param at: when the plan was sent, in ISO format.
    :param rows: number of rows read.
    :param contacts: number of contacts that the sync knew afterwards.
    :param keyless: number of rows without a valid key.
    :param identity: the question that was asked, see :func:`identity_of`.
    :param left_since: ``on_removed`` may still be carried out for contacts that a process of this generation or a newer
        one found to have left; earlier ones may be in another source.
    :param is_mixed: whether another task of the sync has sent something since: a missing contact may be that task's.
    """

    run_id: str
    generation: int
    at: str
    rows: int
    contacts: int
    keyless: int
    identity: Mapping[str, Any]
    left_since: int = 0
    is_mixed: bool = False

    @classmethod
    def parse(cls, text: str | None) -> LastRead | None:
        """Parse the result of :meth:`text`; ``None`` if there was no complete read."""
        if not text:
            return None
        found = json.loads(text)
        return cls(**{name: value for name, value in found.items() if name in cls.__dataclass_fields__})

    @property
    def text(self) -> str:
        """Return the form in which the journal stores it."""
        return json.dumps(self.__dict__, sort_keys=True)


def identity_of(
    *, task: str, host: str, key: str, key_column: str, sql_conn_id: str | None, sql_digest: str | None
) -> dict[str, Any]:
    """Return the digest of the question that a read asks; only reads with the same one are compared.

    :param task: the ids of DAG and task.
    :param host: the host that contacts are sent to.
    :param key: the kind of key.
    :param key_column: the column that holds it.
    :param sql_conn_id: the connection of the source.
    :param sql_digest: of the SQL text before rendering; ``None`` if the rows do not come from SQL.
    """
    return {
        "rule": IDENTITY_RULE,
        "task": task,
        "host": host,
        "key": key,
        "key_column": key_column,
        "sql_conn_id": sql_conn_id,
        "sql": sql_digest,
    }
