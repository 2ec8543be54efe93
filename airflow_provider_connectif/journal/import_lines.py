"""Stores the contacts of a run's import files in the journal's database until their imports are settled.

The table of pending rows has a line for each contact. Its column ``file`` has the number of the contact's group, which
is the contacts in the same files. For a contact that Connectif has rejected, it has -1 minus that number.
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
    """A contact in an import file.

    ``number``: the number of its row in the source. ``group``: the number of its group; for a contact that Connectif
    has rejected, -1 minus that number. ``written_key``: its key in the form of the tables. ``digest``: the digest of
    its row, by which the row is held if the contact is rejected; ``None`` if there is none.
    """

    number: int
    group: int
    written_key: str
    digest: str | None


class ImportLines:
    """Reads and writes the contacts of one plan's import files.

    :param database: the journal's database.
    :param pending: the table of pending rows.
    :param plan_id: the id of the plan.
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
        """Delete what earlier processes stored in the journal for the plan, before this process stores its own."""
        of_plan = self._pending.c.plan_id == self._plan_id
        self._database.execute(sa.delete(self._pending).where(of_plan))

    def add(
        self,
        patches: Iterable[tuple[Patch, int, bool]],
        same_contact: Callable[[str], str],
        people_beside: Callable[[Patch], Collection[PersonKey]] = lambda _: (),
    ) -> None:
        """Store contacts without their values.

        :param patches: each patch with the number of its group, and whether its files contain everything that it sets.
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

        The values replace the digests of people that were stored with these contacts, since they name these people.
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
        """Yield batches of the contacts of some groups with their values, in the order of their rows.

        Each contact comes with the number of its group. Rejected contacts are included.
        """
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
        """Return the contacts with these keys in these groups, by key; rejected contacts are included."""
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
        """Return the condition for contacts of some groups whose files contain everything that their rows set."""
        pending = self._pending.c
        return sa.and_(self.rows_of(groups), pending.row_digest.is_not(None), pending.patch_digest.is_not(None))

    def rows_in_part(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of some groups whose rows also have blank values, which no file has."""
        pending = self._pending.c
        return sa.and_(self.rows_of(groups), pending.row_digest.is_not(None), pending.patch_digest.is_(None))

    def parts_alone(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of some groups of which a file contains only a part, sent alone.

        Their rows were not sent, and already have an outcome.
        """
        return sa.and_(self.rows_of(groups), self._pending.c.properties.is_not(None))

    def rows_of(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of some groups, without those that a report names as rejected."""
        pending = self._pending.c
        return sa.and_(pending.plan_id == self._plan_id, pending.file.in_(groups))

    def refused_rows(self, groups: Collection[int]) -> Any:
        """Return the condition for contacts of some groups that a report names as rejected, if they have a digest."""
        pending, refused = self._pending.c, [-1 - group for group in groups]
        is_row = pending.row_digest.is_not(None)
        return sa.and_(pending.plan_id == self._plan_id, pending.file.in_(refused), is_row)

    def keys_of(self, groups: Collection[int]) -> Any:
        """Return a query for the keys of the contacts of :meth:`rows_of`."""
        return sa.select(self._pending.c.contact_key).where(self.rows_of(groups))

    def some_keys(self, group: int, most: int) -> list[str]:
        """Return keys of contacts of one group, in the form of the tables, in the order of their rows.

        :param most: largest number of keys.
        """
        query = self.keys_of([group]).order_by(self._pending.c.number).limit(most)
        return [row.contact_key for row in self._database.rows(query)]

    def numbered(self, numbers: Sequence[int]) -> Any:
        """Return the condition for the contacts of some rows.

        :param numbers: the numbers of the rows in the source.
        """
        pending = self._pending.c
        return sa.and_(pending.plan_id == self._plan_id, pending.number.in_(list(numbers)))

    def set_properties(self, connection: sa.Connection, columns: Mapping[int, bytes]) -> None:
        """Set the digests of the properties that the journal stores when the contacts are settled.

        :param columns: the digests, by the number of the contact's row.
        """
        for number, column in columns.items():
            connection.execute(sa.update(self._pending).where(self.numbered([number])).values(properties=column))

    def refuse(self, connection: sa.Connection, numbers: Sequence[int]) -> None:
        """Mark contacts as rejected, so that the acknowledgement of their groups leaves them out.

        :param numbers: the numbers of their rows in the source.
        """
        pending = self._pending.c
        for first in range(0, len(numbers), _LINES_AT_ONCE):
            of_these = sa.and_(
                pending.plan_id == self._plan_id,
                pending.number.in_(list(numbers[first : first + _LINES_AT_ONCE])),
                pending.file >= 0,
            )
            connection.execute(sa.update(self._pending).where(of_these).values(file=-1 - pending.file))

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove from the journal contacts that none of the plan's files has any more. No outcome is recorded.

        :param numbers: the numbers of their rows in the source.
        """
        pending = self._pending.c
        of_these = sa.and_(pending.plan_id == self._plan_id, pending.number.in_(numbers))
        if numbers:
            self._database.execute(sa.delete(self._pending).where(of_these))

    def counts(self) -> dict[int, int]:
        """Return the number of contacts by group, including rejected contacts."""
        pending = self._pending.c
        query = sa.select(pending.file, sa.func.count()).where(pending.plan_id == self._plan_id)
        found: dict[int, int] = {}
        for file, count in self._database.rows(query.group_by(pending.file)):
            group = file if file >= 0 else -1 - file
            found[group] = found.get(group, 0) + count
        return found

    def drop(self, connection: sa.Connection, groups: Collection[int]) -> None:
        """Remove the contacts of groups whose outcomes are recorded."""
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
            row_digest = refusable(patch)  # for the mark of the part, if it is rejected
        elif digests is not None:
            # An import leaves blank values out. Then Connectif has not accepted the whole patch, so there is no patch
            # digest. The row digest is needed if the row is rejected.
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
