"""What is known of the reads of a sync's source: who asks, and what the last complete read was.

A read is complete when the source was read to its end, and the plan that came of it was sent to its end. What a source
does not show any more is known only against reads that asked the same question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

IDENTITY_RULE = 1
"""To be raised when the same contact gets another key in the journal: a contact that seems to be missing may then only
have another spelling."""


@dataclass(frozen=True)
class Asker:
    """Who reads the source of a sync, in a series of processes that nobody else has interrupted.

    :param identity: who asks whom for what: see :func:`identity_of`.
    :param since: the generation of the first process of the series.
    :param is_shared: another task was at work on the sync beside one of them, so that the next process begins a series.
    """

    identity: Mapping[str, Any]
    since: int
    is_shared: bool = False


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
    :param asked_since: :attr:`Asker.since` of the series that it belongs to.
    :param has_looked: it has marked the contacts that it did not show.
    :param looked_since: the generation of the process that was the first of the series to mark them; 0: none has.
    :param least_keyless: the fewest rows without a valid key in a complete read of the series.
    """

    run_id: str
    generation: int
    at: str
    rows: int
    contacts: int
    keyless: int
    identity: Mapping[str, Any]
    asked_since: int = -1
    has_looked: bool = False
    looked_since: int = 0
    least_keyless: int = 0

    def is_of(self, asker: Asker) -> bool:
        """Whether nobody else has read for the sync since, nor does beside this process."""
        return self.asked_since == asker.since and not asker.is_shared


@dataclass(frozen=True)
class Reads:
    """What the journal keeps of the reads of a sync.

    :param asker: who has begun to read last; ``None``: nobody.
    :param last: the last complete read; ``None``: there was none.
    """

    asker: Asker | None = None
    last: LastRead | None = None

    @classmethod
    def parse(cls, text: str | None) -> Reads:
        """Read what :attr:`text` has made; of ``None``, nothing is known."""
        found = json.loads(text) if text else {}
        return cls(
            Asker(**found["asker"]) if found.get("asker") else None,
            LastRead(**found["last"]) if found.get("last") else None,
        )

    @property
    def text(self) -> str:
        """As it stands in the journal."""
        return json.dumps(asdict(self), sort_keys=True)


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
