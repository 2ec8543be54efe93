"""Stores the contacts of a run's files in the journal's database while their imports are running: a line for each.

A line has the number of its group: contacts in the same files. Rejected contacts have ``-1`` less that number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.patch_columns import refusable
from airflow_provider_connectif.journal.payloads import Payloads
from airflow_provider_connectif.journal.spellings import spelling_of
from airflow_provider_connectif.journal.tables import SPELLING
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.people import PersonKey

_LINES_AT_ONCE = 5000
_PAYLOADS_AT_ONCE = 500


class ImportLine(NamedTuple):
    """A contact of a file.

    ``number``: of its row in the source. ``group``: below zero if Connectif has rejected it. ``digest``: for the
    journal if it is rejected.
    """

    number: int
    group: int
    written_key: str
    digest: str | None


class ImportLines:
    """The lines of one plan.

    :param database: the journal's.
    :param pending: its table of pending rows.
    :param plan_id: the plan.
    :param written_key: returns a contact key in the form of the tables.
    :param payloads: packs and unpacks patches.
    """

    def __init__(
        self,
        database: JournalDatabase,
        pending: sa.Table,
        plan_id: str,
        written_key: Callable[[str], str],
        payloads: Payloads,
    ) -> None:
        self._database = database
        self._pending = pending
        self._plan_id = plan_id
        self._written_key = written_key
        self._payloads = payloads

    def begin(self) -> None:
        """Delete the lines of earlier processes."""
        of_plan = self._pending.c.plan_id == self._plan_id
        self._database.execute(sa.delete(self._pending).where(of_plan))

    def add(
        self,
        patches: Iterable[tuple[Patch, int, bool]],
        same_contact: Callable[[str], str],
        people_beside: Callable[[Patch], Collection[PersonKey]] = lambda _: (),
    ) -> None:
        """Store contacts without their values.

        :param patches: each with its group, and whether its files contain everything that it sets.
        :param same_contact: returns the journal's form of a contact key.
        :param people_beside: returns the people whom a contact names besides its key.
        """
        lines = [
            self._line(patch, group, same_contact, is_complete=is_complete)
            | {"payload": self._payloads.naming(people_beside(patch))}
            for patch, group, is_complete in patches
        ]
        self._database.write(lambda connection: connection.execute(sa.insert(self._pending), lines))

    def keep_values(self, patches: Sequence[Patch]) -> None:
        """Store the values of contacts in files that are not uploaded yet.

        They replace the stored people of these contacts, who are among the values.
        """
        pending = self._pending.c
        values = [{"of_number": patch.number, "packed": self._payloads.packed(patch)} for patch in patches]
        statement = (
            sa.update(self._pending)
            .where(pending.plan_id == self._plan_id, pending.number == sa.bindparam("of_number"))
            .values(payload=sa.bindparam("packed"))
        )
        if values:
            self._database.write(lambda connection: connection.execute(statement, values))

    def kept_values(self, groups: Collection[int]) -> Iterator[list[tuple[int, Patch]]]:
        """Yield the contacts of some groups with their values, in the order of their rows, in batches."""
        pending, last = self._pending.c, 0
        either = [*groups, *(-1 - group for group in groups)]
        while True:
            wanted = sa.and_(
                pending.plan_id == self._plan_id,
                pending.number > last,
                pending.file.in_(either),
                pending.payload.is_not(None),
            )
            query = sa.select(self._pending).where(wanted).order_by(pending.number).limit(_PAYLOADS_AT_ONCE)
            lines = self._database.rows(query)
            if not lines:
                return
            last = lines[-1].number
            yield [(line.file if line.file >= 0 else -1 - line.file, self._payloads.unpacked(line)) for line in lines]

    def find(self, written_keys: Collection[str], groups: Collection[int]) -> Mapping[str, ImportLine]:
        """Return the contacts with these keys in these groups, rejected ones included, by key."""
        if not written_keys or not groups:
            return {}
        pending = self._pending.c
        either = [*groups, *(-1 - group for group in groups)]
        query = sa.select(
            pending.number, pending.file, pending.contact_key, pending.row_digest, pending.patch_digest
        ).where(pending.plan_id == self._plan_id, pending.contact_key.in_(written_keys), pending.file.in_(either))
        found = self._database.rows(query)
        return {
            key: ImportLine(number, group, key, None if row is None else row or digest)
            for number, group, key, row, digest in found
        }

    def whole_rows(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of these groups whose files contain everything that their rows set."""
        pending = self._pending.c
        return sa.and_(self.rows_of(groups), pending.row_digest.is_not(None), pending.patch_digest.is_not(None))

    def rows_in_part(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of these groups whose rows also have blank values, which no file has."""
        pending = self._pending.c
        return sa.and_(self.rows_of(groups), pending.row_digest.is_not(None), pending.patch_digest.is_(None))

    def parts_alone(self, groups: Collection[int]) -> Any:
        """Return the condition for parts of rows that were not sent, of these groups."""
        return sa.and_(self.rows_of(groups), self._pending.c.properties.is_not(None))

    def rows_of(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of these groups, without those that a report names as rejected."""
        pending = self._pending.c
        return sa.and_(pending.plan_id == self._plan_id, pending.file.in_(groups))

    def refused_rows(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of these groups that a report names as rejected."""
        pending, refused = self._pending.c, [-1 - group for group in groups]
        is_row = pending.row_digest.is_not(None)
        return sa.and_(pending.plan_id == self._plan_id, pending.file.in_(refused), is_row)

    def keys_of(self, groups: Collection[int]) -> Any:
        """Return a query for the keys of these contacts."""
        return sa.select(self._pending.c.contact_key).where(self.rows_of(groups))

    def some_keys(self, group: int, most: int) -> list[str]:
        """Return the keys of contacts of one group, in the form of the tables, in the order of their rows.

        :param most: the most keys.
        """
        query = self.keys_of([group]).order_by(self._pending.c.number).limit(most)
        return [row.contact_key for row in self._database.rows(query)]

    def numbered(self, numbers: Sequence[int]) -> Any:
        """Return the condition for contacts with these numbers."""
        pending = self._pending.c
        return sa.and_(pending.plan_id == self._plan_id, pending.number.in_(list(numbers)))

    def set_properties(self, connection: sa.Connection, columns: Mapping[int, bytes]) -> None:
        """Set the digests of properties, by number."""
        for number, column in columns.items():
            connection.execute(sa.update(self._pending).where(self.numbered([number])).values(properties=column))

    def refuse(self, connection: sa.Connection, numbers: Sequence[int]) -> None:
        """Mark contacts that Connectif has rejected: the acknowledgement of their groups leaves them out."""
        pending = self._pending.c
        for first in range(0, len(numbers), _LINES_AT_ONCE):
            of_these = sa.and_(
                pending.plan_id == self._plan_id,
                pending.number.in_(list(numbers[first : first + _LINES_AT_ONCE])),
                pending.file >= 0,
            )
            connection.execute(sa.update(self._pending).where(of_these).values(file=-1 - pending.file))

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove contacts that are no longer in a file."""
        pending = self._pending.c
        of_these = sa.and_(pending.plan_id == self._plan_id, pending.number.in_(numbers))
        if numbers:
            self._database.execute(sa.delete(self._pending).where(of_these))

    def counts(self) -> dict[int, int]:
        """Return the number of contacts in each group, including rejected ones."""
        pending = self._pending.c
        query = sa.select(pending.file, sa.func.count()).where(pending.plan_id == self._plan_id)
        found: dict[int, int] = {}
        for file, count in self._database.rows(query.group_by(pending.file)):
            group = file if file >= 0 else -1 - file
            found[group] = found.get(group, 0) + count
        return found

    def drop(self, connection: sa.Connection, groups: Collection[int]) -> None:
        """Remove groups whose outcomes are known."""
        pending = self._pending.c
        either = [*groups, *(-1 - group for group in groups)]
        of_these = sa.and_(pending.plan_id == self._plan_id, pending.file.in_(either))
        connection.execute(sa.delete(self._pending).where(of_these))

    def _line(
        self, patch: Patch, group: int, same_contact: Callable[[str], str], *, is_complete: bool
    ) -> dict[str, Any]:
        digests, is_alone = patch.digests, patch.counted_as is not None
        row_digest = patch_digest = None
        if digests is not None and is_alone:
            row_digest = refusable(patch)  # for the mark of a rejected part
        elif digests is not None:
            # An import leaves blank values out, so Connectif does not hold everything that the patch of such a row
            # sets. Its row has a digest all the same, in case that it is rejected.
            row_digest = digests.row if is_complete else digests.row or digests.patch
            patch_digest = digests.patch if is_complete else None
        contact = same_contact(patch.key)
        written = self._written_key(contact)
        return {
            "plan_id": self._plan_id,
            "number": patch.number,
            "file": group,
            "contact_key": written,
            SPELLING: spelling_of(contact, patch.key, is_plain=written == contact),
            "row_digest": row_digest,
            "patch_digest": patch_digest,
            "mapping_digest": digests.mapping if digests else None,
            "properties": digests.properties if digests else None,
        }
