"""The guards: arguments that limit the plan of a run. Every operator has them."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_connectif.operators import switches
from airflow_provider_connectif.runs.guards import GuardLimits, Limit, check_limits


class GuardArguments(BaseOperator):
    """Limits on the plan of a run; they need a journal. If one is exceeded, the task fails before it sends anything.

    A limit is a whole number of contacts (int) or a share (float from 0 to 1). A share is a share of the contacts that
    the sync knew after its last run that sent the whole plan, whether that run succeeded or failed: those that it has
    delivered and that have not left the source. A contact whose ``on_removed`` failed still belongs to them, since the
    next run counts it among those that left once more. Until there is such a run, a share sets no limit. A share above
    0.0 allows at least one contact. Airflow does not retry a task that a guard stops.

    :param max_created: the most contacts that the sync has not delivered before; some may exist at Connectif.
    :param max_changed: the most contacts that the sync has delivered before and whose properties differ now. Contacts
        that are sent only because of ``full_refresh`` do not count.
    :param max_removed: the most contacts that left the source since the last complete read. A contact that left earlier
        counts, too, if ``on_removed`` is carried out for it in this run, or has failed for it.
    :param max_lowered: the most contacts with a consent below the value that Connectif accepted last. A share above 0.0
        always allows 20 contacts.
    :param max_raised: the most contacts with a consent above the value that Connectif accepted last. A share above 0.0
        always allows 20 contacts.
    :param min_rows: the fewest rows that the source may have: a number, or a share of the rows of this task's last
        complete read. Without it, a source that has lost more than half of its rows since that read causes only a
        warning. There is no warning if that read had fewer rows than half of the sync's contacts.
    :param guards_off: ``True``: a plan that exceeds a guard is sent all the same, in this run (templated).
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
        """Check the limits.

        :param has_journal: whether the operator has a journal.
        :raises ValueError: a limit is not valid, or needs a journal; the message names the argument.
        """
        check_limits(self._limits(), has_journal=has_journal)

    def _limits(self, *, is_off: bool = False) -> GuardLimits:
        return GuardLimits(
            max_created=self.max_created,
            max_changed=self.max_changed,
            max_removed=self.max_removed,
            max_lowered=self.max_lowered,
            max_raised=self.max_raised,
            min_rows=self.min_rows,
            is_off=is_off,
        )
