"""Records of the reads of a sync's source: the one in progress, and the last complete one.

A read is complete when the source was read to its end and the whole plan was sent. The question of a read is the
combination of task, host, key, connection, parameters of its hook, SQL and its parameters (:func:`identity_of`).
Contacts that left the source are found only by comparison with reads that asked the same question.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

_MOST_TASKS = 2000
IDENTITY_RULE = 1
"""Raise it when contacts get other keys in the journal: otherwise contacts with a new key would seem to have left."""


MOST_KEYLESS_DIGESTS = 500
"""The most rows without a valid key whose digests are stored.

Of more rows only the number is known, so any of them may belong to a contact that seems to have left.
"""


@dataclass(frozen=True)
class Keyless:
    """The rows of a read that have no valid key. Each may belong to a contact that seems to have left.

    :param count: the number of these rows.
    :param digests: short digests of these rows, sorted; ``None``: there are too many to store them.
    """

    count: int = 0
    digests: tuple[str, ...] | None = ()

    @classmethod
    def of(cls, count: int, digests: Collection[str]) -> Keyless:
        """Return the record of ``count`` rows.

        :param digests: the digests of all these rows; not used for more than :data:`MOST_KEYLESS_DIGESTS` rows.
        """
        is_few = count <= MOST_KEYLESS_DIGESTS
        return cls(count, tuple(sorted(digest[:12] for digest in digests)) if is_few else None)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Keyless:
        """Return a record from its JSON, which ``dataclasses.asdict`` has made."""
        return cls(found["count"], None if found["digests"] is None else tuple(found["digests"]))

    def has_others_than(self, earlier: Keyless) -> bool:
        """Whether one of these rows was not among those of an earlier read. ``True`` also if that is not known."""
        if self.count > earlier.count:
            return True
        if self.digests is None or earlier.digests is None:
            return self.count > 0
        return bool(Counter(self.digests) - Counter(earlier.digests))

    def in_common_with(self, other: Keyless) -> Keyless:
        """Return the record of the rows that both reads have."""
        if self.digests is None or other.digests is None:
            return Keyless(min(self.count, other.count), None)
        common = tuple(sorted((Counter(self.digests) & Counter(other.digests)).elements()))
        return Keyless(len(common), common)


@dataclass(frozen=True)
class Asker:
    """The reader of a sync's source: a series of processes with the same question, and no other reader in between.

    :param identity: the digest of the question: see :func:`identity_of`.
    :param since: the generation of the first process of the series.
    :param is_shared: another task worked on the sync at the same time as one of these processes. The next process
        begins a new series.
    :param came_back: since the last complete read, one of these processes has read a contact that had left. The
        contact's line in the journal may no longer say that it had left, since even a run that fails writes what it has
        read.
    """

    identity: Mapping[str, Any]
    since: int
    is_shared: bool = False
    came_back: bool = False


@dataclass(frozen=True)
class LastRead:
    """The last complete read.

    :param run_id: the run that read the source.
    :param generation: the generation of that run's process.
    :param at: when the run's plan was sent, in ISO format.
    :param rows: the number of rows that were read.
    :param contacts: the number of contacts that the sync knew after the read.
    :param keyless: the rows without a valid key.
    :param identity: the digest of the question that the read asked: see :func:`identity_of`.
    :param asked_since: :attr:`Asker.since` of the series that the read belongs to.
    :param has_looked: whether the run has marked the contacts that the source did not contain.
    :param looked_since: the generation of the first process of the series that has marked such contacts; 0: none has.
    :param always_keyless: the rows without a valid key that every complete read of the series has had.
    :param is_of_first_run: whether no other run had completed a read before.
    :param has_undelivered: whether not everything of the plan has arrived.
    """

    run_id: str
    generation: int
    at: str
    rows: int
    contacts: int
    keyless: Keyless
    identity: Mapping[str, Any]
    asked_since: int = -1
    has_looked: bool = False
    looked_since: int = 0
    always_keyless: Keyless = field(default_factory=Keyless)
    is_of_first_run: bool = False
    has_undelivered: bool = False

    def is_of(self, asker: Asker) -> bool:
        """Whether the read belongs to a reader's series: no other one has read since, or reads at the same time."""
        return self.asked_since == asker.since and not asker.is_shared


@dataclass(frozen=True)
class Reads:
    """The records of reads in the journal.

    :param asker: the reader that began last; ``None``: there was none.
    :param last: the last complete read; ``None``: there was none.
    :param rows_by_task: the rows of each task's last complete read. Tasks of one sync, such as a first load and a
        nightly task, or those of a mapped operator, read different rows.
    """

    asker: Asker | None = None
    last: LastRead | None = None
    rows_by_task: Mapping[str, int] = field(default_factory=dict)

    def with_rows_of(self, task: str, rows: int) -> Reads:
        """Return the records with another number of rows for a task's last complete read."""
        others = [entry for entry in self.rows_by_task.items() if entry[0] != task]
        return replace(self, rows_by_task=dict([(task, rows), *others][:_MOST_TASKS]))

    @classmethod
    def parse(cls, text: str | None) -> Reads:
        """Return the records from :attr:`text`; ``None``: nothing is recorded."""
        found = json.loads(text) if text else {}
        asker, last = found.get("asker"), found.get("last")
        if last is not None:
            last |= {name: Keyless.from_json(last[name]) for name in ("keyless", "always_keyless")}
        return cls(
            None if asker is None else Asker(**asker),
            None if last is None else LastRead(**last),
            found.get("rows_by_task", {}),
        )

    @property
    def text(self) -> str:
        """The text for the journal."""
        return json.dumps(asdict(self), sort_keys=True)


def identity_of(
    *,
    task: str,
    host: str,
    key: str,
    key_column: str,
    sql_conn_id: str | None,
    sql_digest: str | None = None,
    hook_digest: str | None = None,
    parameters_digest: str | None = None,
) -> dict[str, Any]:
    """Return the digest of the question that a read asks. Only reads with equal digests are compared.

    :param task: the ids of DAG and task.
    :param host: the host that contacts are sent to.
    :param key: the kind of key.
    :param key_column: the column that holds it.
    :param sql_conn_id: the connection of the source.
    :param sql_digest: digest of the SQL text before rendering; ``None``: the rows do not come from SQL.
    :param hook_digest: digest of ``hook_params`` before rendering; ``None``: there are none.
    :param parameters_digest: digest of the SQL's ``parameters`` before rendering; ``None``: there are none.
    """
    given = {"hook_params": hook_digest, "parameters": parameters_digest}
    return {
        "rule": IDENTITY_RULE,
        "task": task,
        "host": host,
        "key": key,
        "key_column": key_column,
        "sql_conn_id": sql_conn_id,
        "sql": sql_digest,
        **{name: digest for name, digest in given.items() if digest is not None},
    }
