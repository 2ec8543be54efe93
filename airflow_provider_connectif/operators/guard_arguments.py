"""The guards: arguments of every operator that limit the plan of a run."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_connectif.operators import switches
from airflow_provider_connectif.runs.guards import GuardLimits, Limit, check_limits


class GuardArguments(BaseOperator):
    """Limits on the plan of a run; they need a journal. If one is exceeded, the task fails before it sends anything.

    A whole number counts contacts. A share (float from 0 to 1) is a share of the contacts that were known after the
    last run that sent its whole plan, whether it succeeded or failed; until there is such a run, a share sets no limit.
    A share above 0.0 allows at least one contact. Airflow does not retry a task that a guard stops.

    :param max_created: the most contacts that the sync has not delivered before; some may exist at Connectif.
    :param max_changed: the most contacts that it has delivered and that differ now. Contacts sent only because of
        ``full_refresh`` do not count.
    :param max_removed: the most contacts that left the source since the last complete read.
    :param max_lowered: the most contacts with a consent below the value that Connectif accepted last. A share above 0.0
        always allows 20.
    :param max_raised: the same for consents above that value.
    :param min_rows: the least rows that the source must have: a number, or a share of the rows of this task's last
        complete read. Without it, a warning names both numbers if a source that had at least half of the contacts
        shrank by half.
    :param guards_off: let one run pass (templated).
    :raises ValueError: a limit is not valid, or there is no journal; raised when the DAG is parsed.
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
        """Refuse limits that are not valid.

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
