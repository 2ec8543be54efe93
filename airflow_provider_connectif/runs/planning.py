"""Completes a plan after the source is read: contacts that left, numbers, guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.reads import Keyless, LastRead
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.runs.comparison import Comparison
from airflow_provider_connectif.runs.departures import Departures
from airflow_provider_connectif.runs.guards import Guarded, check_guards, shrank_by_half
from airflow_provider_connectif.runs.plan import Plan
from airflow_provider_connectif.runs.settings import RunSettings
from airflow_provider_connectif.runs.sink import Sink

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.shown_keys import ShownKeys
    from airflow_provider_connectif.journal.store import Journal

_NOT_COUNTED = (
    "on_removed is not carried out, and contacts that left are not counted: %s\n"
    "  Missing contacts may be those of another task that reads for this sync"
)
TellPlan = Callable[[dict[str, Any]], None]


class Planning:
    """Completes the plan of one run, logs it, and stops the run if a guard is exceeded.

    :param journal: the open journal; ``None`` if the run has no journal.
    :param settings: the settings of the run.
    :param report: the report of the run.
    :param shown: the keys in the source; ``None``: contacts that left are not searched for.
    :param push_plan: called with the plan, JSON-ready.
    """

    def __init__(
        self,
        journal: Journal | None,
        settings: RunSettings,
        report: Report,
        shown: ShownKeys | None,
        push_plan: TellPlan,
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._report = report
        self._shown = shown
        self._push_plan = push_plan
        self._last = None if journal is None else journal.reads.last
        self._last_of_task = None if journal is None else _last_of_task(journal)

    def decide(self, changes: PendingChanges, comparison: Comparison | None, resource: Any, sink: Sink[Any]) -> None:
        """Complete the plan, and allow it to be sent.

        :param changes: the changes of the rows; changes for contacts that left are added.
        :raises GuardExceeded: final; nothing may be sent. The plan is logged before.
        :raises JournalError: the journal's database failed.
        """
        departures = self._departures(changes, comparison, resource)
        cost = sink.cost(changes, resource)
        removed = None if departures is None or departures.are_of_others else departures.count
        plan = Plan.of(self._report.tally, changes.counts, cost, removed)
        self._report.tally.left = removed
        earlier = departures.earlier if departures is not None and removed is not None else 0
        self._report.log.info("%s", plan.describe(resource.method, was_chosen=cost.was_chosen, left_earlier=earlier))
        self._report.plan = plan.as_dict()
        self._push_plan(self._report.plan)
        min_rows = self._settings.guards.min_rows
        if min_rows is None:
            self._warn(plan)
        guarded = Guarded(
            rows=plan.read,
            created=plan.to_create,
            changed=plan.to_change - changes.counts.only_refreshed,
            removed=removed or 0,
            lowered=plan.lowered,
            raised=plan.raised,
            noun=resource.noun,
        )
        passed = check_guards(guarded, self._settings.guards, self._last_of_task)
        if passed:
            self._report.log.warning("guards_off is set, so these guards do not stop the plan: %s", "; ".join(passed))
        elif min_rows and not plan.read:  # a share of no rows
            self._report.log.warning(wording.NO_ROWS, wording.details(wording.MIN_ROWS_IS_A_SHARE, wording.MIN_ROWS))
        if comparison is not None:
            self._note_sending(departures, comparison.keyless.record)

    def _departures(self, changes: PendingChanges, comparison: Comparison | None, resource: Any) -> Departures | None:
        if self._journal is None or self._shown is None or comparison is None:
            return None
        read = self._settings.read
        departures = Departures(self._journal, read, self._shown, comparison)
        departures.add_to(changes, resource)
        if earlier := self._journal.series.earlier:
            self._report.count_removed_earlier(self._journal.left.removed_by(earlier))
        if departures.count and departures.only_counted and read.on_removed is not None:
            if departures.are_of_others:
                self._report.log.warning(_NOT_COUNTED, departures.only_counted)
            else:
                self._report.log.warning(
                    "on_removed is not carried out for %s that left the source: %s%s",
                    plural(departures.count, "contact"),
                    departures.only_counted,
                    wording.details(departures.what_follows),
                )
        if departures.postponed:
            self._report.log.warning(
                "on_removed is postponed for %s that left: rows without a valid key may be theirs",
                plural(departures.postponed, "contact"),
            )
        if departures.shared:
            self._report.log.warning(
                "on_removed is not carried out for %s that left, since other syncs still have them: %s",
                plural(departures.shared, "contact"),
                ", ".join(sorted(departures.sharing)),
            )
        return departures

    def _note_sending(self, departures: Departures | None, keyless: Keyless) -> None:
        """Mark in the journal the contacts that left the source, and prepare the record of this read."""
        journal, read, tally = self._journal, self._settings.read, self._report.tally
        if journal is None or journal.read_only or journal.reads.asker is None:
            return
        if departures is not None:
            departures.mark()
        last, asker = self._last, journal.reads.asker
        earlier = last if last is not None and last.is_of(asker) else None
        self._report.complete_read = {
            "rows": tally.read,
            "keyless": asdict(keyless),
            "identity": dict(read.identity),
            "asked_since": asker.since,
            "has_looked": departures is not None,
            "looked_since": departures.looked_since if departures else earlier.looked_since if earlier else 0,
            "always_keyless": asdict(keyless.in_common_with(earlier.always_keyless) if earlier else keyless),
            "seen": journal.reads.seen,
        }

    def _warn(self, plan: Plan) -> None:
        """Warn of a source without rows, or of one that shrank by half."""
        last = self._last_of_task
        if not plan.read:
            before = wording.ROWS_BEFORE.format(rows=last.rows) if last is not None and last.rows else ""
            how = wording.MIN_ROWS_NEEDS_JOURNAL if self._journal is None else wording.MIN_ROWS
            self._report.log.warning(wording.NO_ROWS, wording.details(before, how))
        elif shrank_by_half(plan.read, last):
            self._report.log.warning(
                "The source has less than half of its rows: %s now, %s in the last complete read\n"
                "  If the query is at fault, set min_rows=0.5: the task then fails before it sends anything",
                f"{plan.read:,}",
                f"{0 if last is None else last.rows:,}",
            )


def _last_of_task(journal: Journal) -> LastRead | None:
    last = journal.reads.last_of_task
    if last is None:
        return None
    goes_on = last.run_id == journal.run_id or last.has_undelivered
    return replace(last, is_of_first_run=last.is_of_first_run and goes_on)


def note_complete_read(journal: Journal, report: Report) -> None:
    """Record that the source was read to its end and that its whole plan was sent.

    :raises JournalError: the journal's database failed.
    """
    noted = report.complete_read
    if noted is None:
        return
    journal.lines.commit()
    tally = report.tally
    is_same = not (tally.delivered or tally.outcomes[Outcome.IMPORTED] or tally.left or tally.removals)
    is_same &= not noted["has_looked"] or tally.left is not None  # otherwise contacts were marked, but not counted
    keyless = {name: Keyless.from_json(noted[name]) for name in ("keyless", "always_keyless")}
    noted = {**noted, **keyless, "has_undelivered": bool(tally.outcomes[Outcome.UNDELIVERED])}
    journal.reads.save(run_id=journal.run_id, generation=journal.generation, is_same=is_same, **noted)
