"""What a complete read of a source was: one that was read to its end, and whose plan was sent to its end.

What a source does not show any more is known only against such a read, and only where it asked the same question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IDENTITY_RULE = 1
"""To be raised when the same contact gets another key in the journal: what is not shown may then only be spelled so."""


@dataclass(frozen=True)
class LastRead:
    """The last complete read.

    :param run_id: the run that read.
    :param generation: of its process.
    :param at: when its plan was sent, in ISO format.
    :param rows: that it read.
    :param contacts: that the sync knew after it.
    :param keyless: rows without a valid key.
    :param identity: who asked whom for what: see :func:`identity_of`.
    :param left_since: whoever was found to have left by a process of this generation or a newer one may still be
        followed; who left before may be in another source.
    :param is_mixed: another task of the sync has sent something since, or beside it: who is not shown may be its own.
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
        """Read what :meth:`text` has made; ``None``: there was no complete read."""
        if not text:
            return None
        found = json.loads(text)
        return cls(**{name: value for name, value in found.items() if name in cls.__dataclass_fields__})

    @property
    def text(self) -> str:
        """As it stands in the journal."""
        return json.dumps(self.__dict__, sort_keys=True)


def identity_of(
    *, task: str, host: str, key: str, key_column: str, sql_conn_id: str | None, sql_digest: str | None
) -> dict[str, Any]:
    """Who asks whom for what: two reads are compared only where all of it is the same.

    :param task: the ids of DAG and task.
    :param host: where contacts are sent to.
    :param key: the kind of key.
    :param key_column: the column that holds it.
    :param sql_conn_id: the connection of the source.
    :param sql_digest: of its SQL text before it is rendered; ``None``: the rows come from elsewhere.
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
