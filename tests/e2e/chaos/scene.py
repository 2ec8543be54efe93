"""A night on a deployment: yesterday's peace, tonight's run, what dies meanwhile, and the morning after.

Several nights are played at once, each with a Connectif, a table and a DAG of its own, and one deployment for all: what
dies of that in one of them dies in all. Each part of a night is a generator that gives way whenever it waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
import psycopg

from tests.e2e.chaos.init import Init
from tests.e2e.chaos.ledger import Ledger
from tests.e2e.chaos.night import KINDS, Night, Strike
from tests.e2e.chaos.victims import CLIENT_TIMEOUT_S, VICTIMS, Faults
from tests.e2e.deployment import Deployment, DeploymentError, TaskKey
from tests.e2e.deployment.airflow import ENDED
from tests.e2e.stage import Stage

T = TypeVar("T")

Steps = Iterator[None]
"""A part of a night; it gives way at each step."""

_POLL_S = 0.2
_SAMPLE_EVERY_S = 2.0
_SENDING_S = 8.0
"""How long an undisturbed night without a limit would send."""
_SENDING_IN_A_WINDOW_S = 2.0
"""How long the requests of a window are being sent where there is a limit."""
_LONGEST_S = 300.0
"""How long a run may take, claims of the dead and all, on a slow machine."""


@dataclass
class Struck:
    """A strike that came off."""

    strike: Strike
    back_at: float


@dataclass
class Scene:
    """One night as it goes.

    :param deployment: where, and in order; so it is left behind.
    :param night: what happens.
    :param init: watches over the deployment.
    """

    deployment: Deployment
    night: Night
    init: Init
    run_ids: list[str] = field(default_factory=list)
    """Tonight's run, and the next one if that failed."""
    states: list[str] = field(default_factory=list)
    struck: list[Struck] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What did not come to its end, in words."""
    seconds: float = 0.0
    """From the start of tonight's run to the end of the last."""

    def evening(self) -> Steps:
        """Set all up, and let yesterday's run go through in peace; then its rows change.

        :raises DeploymentError: something did not come to its end; the deployment may be in any state.
        """
        self.stage = Stage(self.deployment, self.night.name)
        window, window_s = KINDS[self.night.kind].window
        limit = {"requests_per_minute": window, "window_seconds": window_s} if window else {}
        self.connectif = self.stage.connectif(**limit, **KINDS[self.night.kind].sandbox)
        connection = self.connectif.airflow_connection()
        connection["extra"] = {**connection["extra"], "timeout": CLIENT_TIMEOUT_S}
        self.deployment.rest.define_connection(self.night.name, connection)
        self.ledger = Ledger(self.deployment, self.connectif, self.night)
        self.ledger.write_yesterday(self.stage)
        self.stage.publish_dag(self.night.tasks())
        yield  # so that all files are there before one is waited for
        self.deployment.wait_for_dag(self.night.name)
        if self.night.yesterday:
            run_id = self.deployment.trigger(self.night.name)
            while (state := self._state(run_id)) not in ENDED:
                yield
            if state != "success":
                told = self.deployment.task_log(self.task(run_id))
                raise DeploymentError(f"the quiet run of the evening before ended {state}\n{told}")
        self.ledger.write_tonight()
        self.set_faults([])

    def tonight(self) -> Steps:
        """Tonight's run, in which one dies after the other; in the end nobody is kept down any more.

        :raises DeploymentError: it does not end.
        """
        self._pending = list(self.night.strikes)
        self._due_at: float | None = None
        try:
            yield from self._run()
        finally:  # the other nights go on
            self._pending.clear()
            self._heal(everything=True)
        self.connectif.clear_faults()

    def morning(self) -> Steps:
        """If tonight's run has failed: put right what a person would, and let the next run go through in peace.

        :raises DeploymentError: it does not end.
        """
        if self.states == ["failed"]:
            if self.night.is_over_budget:
                self.ledger.mend()
            yield from self._run()

    def victims(self) -> str:
        """Who died, in words, in order; those whose turn came too late are in brackets."""
        late = [f"({strike.victim})" for strike in self.night.strikes[len(self.struck) :]]
        return ", ".join([struck.strike.victim for struck in self.struck] + late)

    def told(self, run_id: str) -> str:
        """Return what Airflow shows of a run's task: its log, and its entries of the audit log."""
        entries = self.deployment.metadata.query(
            "select event, extra from log where dag_id = %s and run_id = %s order by id", (self.night.name, run_id)
        )
        return "\n".join(
            [self.deployment.task_log(self.task(run_id)), *(f"{name}: {extra}" for name, extra in entries)]
        )

    def evidence(self) -> list[str]:
        """What a person who looks for the reason would want to see first."""
        logs = [self.told(run_id) for run_id in self.run_ids]
        stays = [self.deployment.metadata.stays(self.task(run_id)) for run_id in self.run_ids]
        states = ["; ".join(f"{stay.state} (try {stay.try_number})" for stay in stay_of_run) for stay_of_run in stays]
        return [f"runs {self.run_ids} ended {self.states}", *states, *(log[-6000:] for log in logs)]

    def close(self) -> None:
        """End what runs for this night only."""
        self.stage.close()

    def task(self, run_id: str) -> TaskKey:
        """The task of a run."""
        return self.stage.task(run_id, "contacts")

    def set_faults(self, faults: Faults) -> None:
        """Set Connectif's faults from now on; requests without a fault are as slow as the night's kind says."""
        self.connectif.clear_faults()
        for fault in faults:
            self.connectif.add_fault(**{"seed": self.night.seed, **fault})
        sending_s, at_once = _SENDING_S, self.night.needed
        if window := KINDS[self.night.kind].window[0]:
            sending_s, at_once = _SENDING_IN_A_WINDOW_S, window
        pace_s = sending_s * self.night.max_in_flight / at_once
        self.connectif.add_fault({"delay_s": min(pace_s, CLIENT_TIMEOUT_S / 3)})

    def task_process(self) -> psutil.Process | None:
        """The process of tonight's task, if one runs."""
        task = self.asked(lambda: self.deployment.metadata.task(self.task(self.run_ids[-1])))
        if not task or task["state"] != "running" or not task["pid"]:
            return None
        owned = (process for component in self.deployment.components.values() for process in component.processes())
        return next((process for process in owned if process.pid == task["pid"]), None)

    def asked(self, question: Callable[[], T]) -> T | None:
        """Return the result of a query; ``None`` if the database is down just now."""
        try:
            return question()
        except psycopg.OperationalError:
            return None

    def _state(self, run_id: str) -> str | None:
        return self.asked(lambda: self.deployment.metadata.run_state(self.night.name, run_id))

    def _run(self) -> Steps:
        run_id = self.deployment.trigger(self.night.name)
        self.run_ids.append(run_id)
        begun, sample_at, deaths = time.monotonic(), 0.0, 0
        yield  # so that all nights have begun before anybody dies
        while (state := self._state(run_id)) not in ENDED:
            if time.monotonic() - begun > _LONGEST_S:
                raise DeploymentError(
                    f"the run did not end within {_LONGEST_S:g} s\n{self.deployment.task_log(self.task(run_id))}"
                    f"\n{self.deployment.logs()}"
                )
            self._heal()
            if self._strikes() or len(self.init.deaths) > deaths or time.monotonic() >= sample_at:
                deaths = len(self.init.deaths)
                self.asked(lambda: self.ledger.compare(run_id))
                sample_at = time.monotonic() + _SAMPLE_EVERY_S
            yield
        self.states.append(str(state))
        self.seconds += time.monotonic() - begun

    def _strikes(self) -> bool:
        """Let the next one die if it is time; whether it was."""
        if not self._pending:
            return False
        strike = self._pending[0]
        if self._due_at is None and self.ledger.accepted_tonight() >= strike.at_share * self.night.needed:
            self._due_at = time.monotonic() + strike.after_s
        if self._due_at is None or time.monotonic() < self._due_at or self._is_away(strike.victim):
            return False
        if not VICTIMS[strike.victim].strike(self):
            return False
        self.struck.append(Struck(strike, time.monotonic() + strike.away_s))
        del self._pending[0]
        self._due_at = None
        return True

    def _is_away(self, victim: str) -> bool:
        """Whether it is away already, or another kind of trouble of the same party is on."""
        kind = VICTIMS[victim]
        if kind.component is not None and self.init.is_down(kind.component):
            return True
        away = [VICTIMS[struck.strike.victim] for struck in self.struck if struck.back_at]
        return any(other.component == kind.component and bool(other.faults) == bool(kind.faults) for other in away)

    def _heal(self, *, everything: bool = False) -> None:
        for struck in self.struck:
            if not struck.back_at or not (everything or time.monotonic() >= struck.back_at):
                continue
            struck.back_at = 0.0
            victim = VICTIMS[struck.strike.victim]
            if victim.component is not None:
                self.init.let_up(victim.component)
            if victim.faults:
                self.set_faults([])


def play(scenes: Sequence[Scene], init: Init) -> None:
    """Play nights at once; a night of which something did not come to its end says so in ``broken``.

    :param init: watches over their deployment.
    :raises DeploymentError: the deployment itself is not well again.
    """
    for part in (Scene.evening, Scene.tonight, Scene.morning):
        _at_once(init, {scene.night.seed: (scene, part(scene)) for scene in scenes if not scene.broken})
        init.see_to_it_that_all_is_well()


def _at_once(init: Init, parts: Mapping[int, tuple[Scene, Steps]]) -> None:
    under_way = dict(parts)
    while under_way:
        for seed, (scene, steps) in list(under_way.items()):
            try:
                next(steps)
            except StopIteration:
                del under_way[seed]
            except DeploymentError as error:
                scene.broken.append(str(error))
                del under_way[seed]
        init.look()
        time.sleep(_POLL_S)
