"""Checks the columns of a source with its first rows, and warns about some of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row, renamed
from airflow_provider_connectif.records.samples import some_of
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.runs.column_names import described, other_case
from airflow_provider_connectif.runs.sink import Sink

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

_SYNCS_NAMED = 8


class SourceColumns:
    """Checks the columns of one source, and warns once about each column that needs it.

    :param resource: the resource with its definitions: knows the columns that it needs, and the warnings about them.
    :param sink: the sink of the run, which may refuse columns.
    :param log: the log of the task.
    """

    def __init__(self, resource: Resource, sink: Sink[Any], log: Log) -> None:
        self._resource = resource
        self._sink = sink
        self._log = log
        self._is_checked = False
        self._names: Mapping[str, str] = {}
        """The name in the mapping by column, for columns that have it in another case."""
        self._asked_about: set[Any] = set()
        """Columns that were already checked for warnings."""
        self._warn_about(resource.written_columns or ())

    def look_at(self, columns: Sequence[str] | None, batch: Sequence[Row]) -> Sequence[Row]:
        """Check the columns with the first batch, and warn once about each column that needs it.

        :param columns: the columns of the source; ``None``: the rows need not have the same columns, so those in the
            batch count.
        :param batch: the next rows to prepare; may be empty.
        :return: the rows. If ``columns`` is given, a column that differs from a name of the mapping only by case has
            the mapping's name.
        :raises RunFailed: a column is missing, is not valid, or is ambiguous.
        """
        if columns is not None:
            if not self._is_checked:
                self._match_names(columns)
            columns = [self._names.get(column, column) for column in columns]
        if not self._is_checked:
            self._check(columns, batch)
            self._is_checked = True
        if self._resource.written_columns is None:
            # Rows of a list need not have the same columns.
            self._warn_about(columns or _columns_of(batch))
        return renamed(batch, self._names) if self._names else batch

    def end(self) -> None:
        """Finish after the last row; if there was no row, check the resource without columns.

        :raises RunFailed: the resource cannot be written at all.
        """
        if not self._is_checked:
            self._resource.check()

    @property
    def ranked(self) -> set[str]:
        """The ranked properties among those that the source writes."""
        return {column for column in self._asked_about if column in self._resource.ranks}

    def _match_names(self, columns: Sequence[str]) -> None:
        wanted = self._resource.columns
        self._names = other_case((self._resource.key_column,) if wanted is None else wanted, columns)
        if self._names:
            self._log.info("%s", described(self._names))

    def _check(self, source_columns: Sequence[str] | None, batch: Sequence[Row]) -> None:
        columns: Sequence[Any] | None = source_columns
        if columns is None and batch:
            # Without a mapping, the author wants to send the columns of the first row. With a mapping, a column that no
            # row of the first batch has is a fault of the mapping, and not of every row.
            columns = _columns_of(batch[:1] if self._resource.columns is None else batch)
        self._resource.check(columns)
        self._sink.check_columns(source_columns, self._resource)

    def _warn_about(self, columns: Sequence[Any]) -> None:
        fresh = [column for column in columns if column not in self._asked_about]
        self._asked_about.update(fresh)
        if fresh and self._sink.overwrites and (words := self._resource.warning_about(fresh)) is not None:
            self._log.warning("%s", words)


def warn_of_other_owners(journal: Journal, way: str, owned: Set[str], log: Log) -> None:
    """Warn about other syncs that write the same properties, in one message.

    A value that one sync sends looks to another sync like the person's own decision.

    :param way: the digest salt of the account's host, without the way of delivery.
    :param owned: ids of the ranked properties, such as consents, that this source writes.
    """
    syncs: dict[str, list[str]] = {}
    for sync_id, names in journal.other_owners(way, owned).items():
        for name in names:
            syncs.setdefault(name, []).append(repr(sync_id))
    if syncs:
        lines = (f"{name}: {some_of(writers, _SYNCS_NAMED)}" for name, writers in syncs.items())
        log.warning(wording.OTHER_OWNER, wording.details(*lines))


def _columns_of(rows: Sequence[Row]) -> list[Any]:
    """Return the columns of some rows, in order of their first occurrence."""
    return list(dict.fromkeys(itertools.chain.from_iterable(row for row in rows if isinstance(row, Mapping))))
