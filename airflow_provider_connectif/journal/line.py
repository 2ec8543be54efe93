"""A line of a journal, as it is read."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_connectif.journal.states import REJECTED, REMOVED


class Line(NamedTuple):
    """The journal's line of one contact.

    ``state``: its last outcome, with ``status_code``, ``reason`` and ``run_id``. ``refused_digest``: of the last row
    that Connectif rejected; ``invalid_digest``: of the last row that was invalid here; ``refused_run``,
    ``invalid_run``: the run that met it first; ``refused_status``, ``refused_reason``: of that rejection.
    ``delivered_as``: ``created``, ``updated``, ``imported``, ``unchanged`` or ``removed``. ``properties``: digests of
    the accepted ones; ``None`` if they are not known one by one, as in lines of an earlier version. ``spelling``: see
    the module "spellings".
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
        """Whether nothing of the contact was ever accepted or checked, as for one without a line."""
        knows_a_row = self.row_digest or self.patch_digest or self.refused_digest or self.invalid_digest
        return not (knows_a_row or self.delivered_as or self.properties)

    @property
    def was_removed(self) -> bool:
        """Whether ``on_removed`` was carried out, and nothing was delivered since."""
        return self.state == REMOVED or (self.delivered_as == REMOVED and self.patch_digest is None)

    @property
    def may_have_several_rows(self) -> bool:
        """Whether what Connectif holds may have come from several rows: there is no digest of a row."""
        return self.row_digest is None

    @property
    def says_each_property(self) -> bool:
        """Whether the digests of the properties cover all that a line knows, so that the digest of its row does not
        matter.
        """
        return self.properties is not None and self.refused_digest is None and self.invalid_digest is None

    @property
    def says_another_rejection(self) -> bool:
        """Whether a line's last outcome is a rejection, and not the one that holds a row."""
        last, held = (self.status_code, self.reason or ""), (self.refused_status, self.refused_reason or "")
        return self.state == REJECTED and last != held


NOT_BEFORE_3 = (
    *("delivered_as", "delivered_generation", "refused_run", "invalid_digest", "invalid_run", "properties"),
    "spelling",
)
"""Columns that lines of an older version do not have."""
REFUSAL_BEFORE_3 = {"refused_status": "status_code", "refused_reason": "reason"}
"""Columns of an older version with the values of the last rejection, by the newer column."""
