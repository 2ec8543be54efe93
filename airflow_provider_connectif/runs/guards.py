"""Guards: limits on a plan. If a plan exceeds a guard, the run sends nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.records.reads import LastRead
from airflow_provider_connectif.reporting.formats import plural

Limit = int | float | None
"""A number of contacts (int), or a share (float) of those that were known before; ``None``: no limit."""


class GuardExceeded(RunFailed):
    """A plan exceeds a guard; nothing was sent."""

    final = True


@dataclass(frozen=True)
class GuardLimits:
    """The limits that an author sets for a plan; the default of each is no limit.

    :param max_created: contacts that the sync has not delivered before.
    :param max_changed: contacts that the sync has delivered before, and whose properties differ.
    :param max_removed: contacts that left the source.
    :param max_lowered: contacts whose consent is lowered.
    :param max_raised: contacts whose consent is raised.
    :param min_rows: the least number of rows in the source; a share is a share of the rows of the last complete read.
    :param is_off: the guards do not stop this run.
    """

    max_created: Limit = None
    max_changed: Limit = None
    max_removed: Limit = None
    max_lowered: Limit = None
    max_raised: Limit = None
    min_rows: Limit = None
    is_off: bool = False


class Guarded(NamedTuple):
    """The numbers of a plan that guards limit. ``noun``: one of the things that it writes."""

    rows: int
    created: int
    changed: int
    removed: int
    lowered: int
    raised: int
    noun: str = "contact"


class Guard(NamedTuple):
    """One guard.

    ``name``: the name of the argument. ``count``: returns the number of a plan that the guard limits. ``which``: the
    rows or things that count, for messages. ``least``: a share above 0.0 allows at least so many. ``is_minimum``: it
    counts rows, and they must not be fewer than the limit. ``is_of_load``: a share does not limit the first run, whose
    tasks and attempts add contacts to the sync.
    """

    name: str
    count: Callable[[Guarded], int]
    which: str
    least: int = 1
    is_minimum: bool = False
    is_of_load: bool = False


GUARDS: tuple[Guard, ...] = (
    Guard("min_rows", lambda plan: plan.rows, "read", is_minimum=True),
    Guard("max_created", lambda plan: plan.created, "to create", is_of_load=True),
    Guard("max_changed", lambda plan: plan.changed, "to change"),
    Guard("max_removed", lambda plan: plan.removed, "that left the source"),
    Guard("max_lowered", lambda plan: plan.lowered, "whose consent is lowered", least=20),
    Guard("max_raised", lambda plan: plan.raised, "whose consent is raised", least=20),
)


def exceeded(plan: Guarded, limits: GuardLimits, last: LastRead | None) -> list[str]:
    """Describe the guards that a plan exceeds, with the number and the limit of each. Pure.

    :param last: the read of the last run that sent its whole plan. ``None``: there is none, and a share is no limit.
        Its ``is_of_first_run`` is set only in the first run, and in the next run if not everything has arrived.
    """
    found = []
    for guard in GUARDS:
        limit = getattr(limits, guard.name)
        allowed = _allowed(guard, limit, last)
        number = guard.count(plan)
        if allowed is None or (number >= allowed if guard.is_minimum else number <= allowed):
            continue
        share = "" if last is None or not isinstance(limit, float) else _describe_base(guard, limit, last, plan.noun)
        bound = "needs" if guard.is_minimum else "allows"
        counted = f"{plural(number, 'row' if guard.is_minimum else plan.noun)} {guard.which}"
        found.append(f"{counted}, {guard.name}={limit}{share} {bound} {allowed:,}")
    return found


def check_guards(plan: Guarded, limits: GuardLimits, last: LastRead | None) -> list[str]:
    """Refuse a plan that exceeds a guard.

    :return: the guards that it exceeds, if guards are off for this run.
    :raises GuardExceeded: final; the text has each number, its limit, and how to let a run pass.
    """
    found = exceeded(plan, limits, last)
    if found and not limits.is_off:
        raise GuardExceeded(
            f"The plan exceeds {'a guard' if len(found) == 1 else f'{len(found)} guards'}, so nothing was sent: "
            f"{'; '.join(found)}. If the plan is right, set guards_off=True for one run"
        )
    return found


def check_limits(limits: GuardLimits, *, has_journal: bool) -> None:
    """Check the limits that an author has set.

    :raises ValueError: a limit is not valid, or needs a journal. The text names the argument.
    """
    for guard in GUARDS:
        limit = getattr(limits, guard.name)
        if limit is None:
            continue
        is_number = type(limit) is int and limit >= 0
        if not is_number and not (type(limit) is float and 0.0 <= limit <= 1.0):
            raise ValueError(f"{guard.name} must be a whole number, a share from 0.0 to 1.0, or None, not {limit!r}")
        if not has_journal:
            raise ValueError(f"{guard.name} needs journal_conn_id: only a journal knows what was delivered before")


def shrank_by_half(rows: int, last: LastRead | None) -> bool:
    """Whether a source has less than half of the rows of the last complete read.

    Only if that read had at least half as many rows as the sync has contacts.
    """
    return last is not None and 2 * last.rows >= last.contacts and last.rows > 0 and 2 * rows < last.rows


def share_of(share: float, number: int, *, rounds_up: bool = False) -> int:
    """Return a share of a number by decimal arithmetic: 0.29 of 100 is 29, and not 28.999…."""
    exact = Decimal(repr(share)) * number
    return math.ceil(exact) if rounds_up else math.floor(exact)


def _allowed(guard: Guard, limit: Limit, last: LastRead | None) -> int | None:
    if limit is None or isinstance(limit, int):
        return limit
    if last is None or (guard.is_of_load and last.is_of_first_run):
        return None
    share = share_of(limit, _base(guard, last), rounds_up=guard.is_minimum)
    return share if guard.is_minimum or not limit else max(guard.least, share)


def _base(guard: Guard, last: LastRead) -> int:
    return last.rows if guard.is_minimum else last.contacts


def _describe_base(guard: Guard, share: float, last: LastRead, noun: str) -> str:
    base = _base(guard, last)
    things = "rows of the last complete read" if guard.is_minimum else f"known {noun}s"
    is_least = not guard.is_minimum and share > 0 and share_of(share, base, rounds_up=False) < guard.least
    return f" of {base:,} {things}{f', but at least {guard.least},' if is_least else ''}"
