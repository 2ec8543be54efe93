"""The arguments of every operator that limit what a run may send: its guards."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_connectif.operators import switches
from airflow_provider_connectif.runs.guards import GuardLimits, Limit, check_limits


class GuardArguments(BaseOperator):
    """Limits on the plan of a run, which needs a journal. Above one of them the task fails before anything is sent.

    A whole number counts contacts. A share (float from 0 to 1) is one of the contacts that were known after the last
    run that sent its plan to the end, whatever its colour; before there is one, a share is no limit. Airflow does not
    retry a task that a guard stops.

    :param max_created: contacts that the sync has not delivered before; some may exist at Connectif.
    :param max_changed: contacts that it has delivered, and that differ. What is sent again only since ``full_refresh``
        says so does not count.
    :param max_removed: contacts that left the source since the last complete read.
    :param max_lowered: contacts with a consent below the value that Connectif has accepted last. A share allows 20.
    :param max_raised: likewise above it.
    :param min_rows: rows that the source must have: a number, or a share of the rows of the last complete read. Without
        it, a warning names both numbers where a source that had at least half of the contacts shrank by half.
    :param guards_off: let one run pass (templated).
    :raises ValueError: when the DAG is parsed: no such limit, or no journal.
    """

    def __init__(
        self,
        *,
        max_created: Limit = None,
        max_changed: Limit = None,
        max_removed: Limit = None,
        max_lowered: Limit = None,
        max_raised: Limit = None,
        min_rows: Limit = None,
        guards_off: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_created = max_created
        self.max_changed = max_changed
        self.max_removed = max_removed
        self.max_lowered = max_lowered
        self.max_raised = max_raised
        self.min_rows = min_rows
        self.guards_off = guards_off
        with switches.final_where_mapped(self):
            switches.check_switches({"guards_off": guards_off})

    def _check_guards(self, *, has_journal: bool) -> None:
        """Refuse limits that cannot be.

        :raises ValueError: names the argument.
        """
        check_limits(self._limits(), has_journal=has_journal)

    def _limits(self, *, is_off: bool = False) -> GuardLimits:
        return GuardLimits(
            self.max_created,
            self.max_changed,
            self.max_removed,
            self.max_lowered,
            self.max_raised,
            self.min_rows,
            is_off,
        )
