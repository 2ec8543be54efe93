"""A line of the journal, as it was read from the database."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_connectif.journal.states import REJECTED, REMOVED


class Line(NamedTuple):
    """The journal's line of one contact.

    ``state``: the contact's last outcome; ``status_code``, ``reason`` and ``run_id`` belong to it. ``refused_digest``:
    the digest of the last row that Connectif rejected; ``refused_run``: the first run that met this rejection;
    ``refused_status``, ``refused_reason``: its status and reason. ``invalid_digest``: the rows that were invalid before
    sending: see the module "invalid_rows"; ``invalid_run``: the first run that met the last one of these rows.
    ``generation``: the generation of the process that wrote the line. ``delivered_generation``: the same for the last
    delivery. ``delivered_as``: ``created``, ``updated``, ``imported``, ``unchanged`` or ``removed``. ``properties``:
    the digests of the accepted properties; ``None`` if these are not known one by one, as in lines of an earlier
    version. ``spelling``: see the module "spellings".
    """

    row_digest: str | None
    patch_digest: str | None
    mapping_digest: str | None
    refused_digest: str | None
    run_id: str | None
    status_code: int | None = None
    reason: str | None = None
    state: str | None = None
    generation: int | None = None
    delivered_as: str | None = None
    delivered_generation: int | None = None
    refused_run: str | None = None
    invalid_digest: str | None = None
    invalid_run: str | None = None
    properties: bytes | None = None
    refused_status: int | None = None
    refused_reason: str | None = None
    spelling: str | None = None

    @property
    def says_nothing(self) -> bool:
        """Whether the line has no more knowledge of the contact than no line: nothing was accepted or checked."""
        knows_a_row = self.row_digest or self.patch_digest or self.refused_digest or self.invalid_digest
        return not (knows_a_row or self.delivered_as or self.properties)

    @property
    def was_removed(self) -> bool:
        """Whether ``on_removed`` was carried out for the contact, and nothing was delivered since."""
        return self.state == REMOVED or (self.delivered_as == REMOVED and self.patch_digest is None)

    @property
    def may_have_several_rows(self) -> bool:
        """Whether the accepted properties may be from several rows: the line has no row digest."""
        return self.row_digest is None

    @property
    def says_each_property(self) -> bool:
        """Whether the line has digests of single properties, and neither a rejected nor an invalid row.

        Then the digests of the properties are sufficient to compare a row.
        """
        return self.properties is not None and self.refused_digest is None and self.invalid_digest is None

    @property
    def says_another_rejection(self) -> bool:
        """Whether the last outcome is a rejection, but another one than the rejection that holds a row."""
        last, held = (self.status_code, self.reason or ""), (self.refused_status, self.refused_reason or "")
        return self.state == REJECTED and last != held


NOT_BEFORE_3 = (
    *("delivered_as", "delivered_generation", "refused_run", "invalid_digest", "invalid_run", "properties"),
    "spelling",
)
"""Columns that tables of an older version do not have."""
REFUSAL_BEFORE_3 = {"refused_status": "status_code", "refused_reason": "reason"}
"""For each column of the last rejection, the column that had its value in tables of an older version."""
