"""What must hold after every night, whoever has died in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.e2e.chaos.ledger import PERSONAL
from tests.e2e.chaos.scene import Scene
from tests.e2e.chaos.victims import VICTIMS
from tests.e2e.stage import held
from tests.support.histories import of_summary

_MOST_NAMED = 3


@dataclass(frozen=True)
class Account:
    """A night in figures.

    :param tries: processes of the task, over all runs, that a deferral has not ended.
    :param sent_twice: contacts that Connectif has accepted, and said so, more often than was needed.
    """

    tries: int
    sent_twice: int


def account_of(scene: Scene) -> Account:
    """Count up a night that has come to its end."""
    return Account(
        tries=sum(_ends_in_death(scene, run_id) for run_id in scene.run_ids) + _finished(scene),
        sent_twice=scene.ledger.accepted_tonight() - scene.ledger.needed,
    )


def violations(scene: Scene) -> list[str]:
    """In words, what does not hold; empty: all does."""
    return [f"{name}: {words}" for name, check in INVARIANTS.items() for words in check(scene)]


def _end_state(scene: Scene) -> Iterator[str]:
    wanted, found = scene.ledger.source(), held(scene.connectif)
    for words, emails in (
        ("missing at Connectif", wanted.keys() - found.keys()),
        ("at Connectif that should not be", found.keys() - wanted.keys()),
        ("differ", {email for email in wanted.keys() & found.keys() if wanted[email] != found[email]}),
    ):
        if emails:
            yield f"{len(emails)} contacts {words}: {', '.join(sorted(emails)[:_MOST_NAMED])} …"


def _journal_is_true(scene: Scene) -> Iterator[str]:
    yield from sorted(scene.ledger.untrue)[:_MOST_NAMED]
    for run_id in scene.run_ids[-1:]:
        scene.ledger.compare(run_id)
    if count := scene.ledger.unacknowledged():
        yield f"{count} contacts were delivered that the journal does not call acknowledged"


def _nothing_is_left_over(scene: Scene) -> Iterator[str]:
    for table, count in scene.ledger.left_over().items():
        yield f"{count} rows in connectif_journal_{table}"


def _the_history_adds_up(scene: Scene) -> Iterator[str]:
    """The lines of each run that has come to its end are those of its summary."""
    for run_id, state in zip(scene.run_ids, scene.states, strict=False):
        if state == "success":
            listed = scene.ledger.history(run_id)
            if (summed := of_summary(scene.deployment.summary(scene.task(run_id)))) != listed:
                yield f"{run_id}: the summary says {summed}, and the history lists {listed}"


def _sent_twice_within_the_bound(scene: Scene) -> Iterator[str]:
    deaths = sum(_ends_in_death(scene, run_id) for run_id in scene.run_ids)
    lost = scene.ledger.of_lost_uploads("\n".join(scene.deployment.task_log(scene.task(id_)) for id_ in scene.run_ids))
    sent_twice, most = account_of(scene).sent_twice, deaths * scene.night.lost_by_a_death + sum(lost)
    # A response with field definitions has the same status as one that accepts a contact.
    reads = scene.ledger.reads_of_definitions()
    if sent_twice > most + reads:
        yield (
            f"{sent_twice} contacts were sent twice; {deaths} deaths of the process and {len(lost)} lost uploads "
            f"explain {most} at most, and {reads} may be reads of definitions"
        )
    # A Connectif that is not well loses the response to an attempt of an upload; a process uploads one file at a time.
    if len(lost) > deaths and not any(VICTIMS[struck.strike.victim].faults for struck in scene.struck):
        yield f"{len(lost)} uploads were lost; {deaths} deaths of the process explain one each"
    if sent_twice < 0:
        yield f"{-sent_twice} contacts were never accepted"


def _colour_is_true(scene: Scene) -> Iterator[str]:
    night, [tonight, *next_run] = scene.night, scene.states
    if tonight == "success":
        if night.is_over_budget:
            yield f"green, though {night.bad} rows were refused and {night.budget} may be"
        return
    if next_run != ["success"]:
        yield f"the next run ended {next_run}"
    log = scene.told(scene.run_ids[0])
    # Components are all nights' own; what the init system has found silent and killed has died as well.
    died = [victim for victim in VICTIMS.values() if victim.component in scene.init.deaths]
    died += [VICTIMS[struck.strike.victim] for struck in scene.struck]
    causes = {cause for victim in died for cause in victim.true_causes}
    if night.is_over_budget:
        causes.add(f"{night.bad} of {night.rows} rows were refused")
    if not any(cause in log for cause in causes):
        yield f"red, and Airflow gives none of these causes: {', '.join(sorted(causes))}"


def _logs_are_discreet(scene: Scene) -> Iterator[str]:
    for run_id in scene.run_ids:
        for line in scene.deployment.task_log(scene.task(run_id)).splitlines():
            if any(personal in line for personal in PERSONAL):
                yield f"in the task's log: {line[:300]}"
                return


INVARIANTS: Mapping[str, Callable[[Scene], Iterator[str]]] = {
    "the end state equals the source": _end_state,
    "nothing is acknowledged that Connectif did not accept": _journal_is_true,
    "nothing is left over": _nothing_is_left_over,
    "the history adds up": _the_history_adds_up,
    "sent twice within the bound": _sent_twice_within_the_bound,
    "the colour is true": _colour_is_true,
    "no personal data in the task's logs": _logs_are_discreet,
}
"""The table of what is checked."""

_COMES_BACK_OR_IS_DONE = ("deferred", "success")


def _ends_in_death(scene: Scene, run_id: str) -> int:
    """Processes of a run's task that ended neither in a deferral nor with success."""
    stays = scene.deployment.metadata.stays(scene.task(run_id))
    after = [stay.state for stay in stays[1:]]
    return sum(
        stay.state == "running" and state not in _COMES_BACK_OR_IS_DONE
        for stay, state in zip(stays, after, strict=False)
    )


def _finished(scene: Scene) -> int:
    return scene.states.count("success")
