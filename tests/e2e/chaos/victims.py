"""Who can die at night, and how."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from tests.e2e.chaos.scene import Scene

CLIENT_TIMEOUT_S = 1.5
"""How long the client waits for a response at night."""

Faults = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Victim:
    """One that dies.

    :param away_s: how long it may stay away, from and to, in seconds.
    :param strike: makes it die; ``False``: it is not there to die yet.
    :param component: the victim is this component, which is started again when its time away has ended.
    :param faults: the victim is Connectif, which has these faults meanwhile.
    :param true_causes: causes that Airflow may show of a task that ended because of this victim.
    """

    away_s: tuple[float, float]
    strike: Callable[[Scene], bool]
    component: str | None = None
    faults: Faults = ()
    true_causes: Sequence[str] = field(default=())


_FOUND_DEAD = ("heartbeat timeout", "state mismatch")
_NO_API = ("API_SERVER_ERROR", "ConnectError", "ServerResponseError")


def _component(name: str, away_s: tuple[float, float], *true_causes: str) -> Victim:
    def strike(scene: Scene) -> bool:
        scene.init.take_down(name)
        return True

    return Victim(away_s, strike, component=name, true_causes=true_causes)


def _connectif(faults: Faults, *true_causes: str) -> Victim:
    def strike(scene: Scene) -> bool:
        scene.set_faults(faults)
        return True

    return Victim((1.0, 6.0), strike, faults=faults, true_causes=true_causes)


def _task(*, with_worker: bool) -> Victim:
    def strike(scene: Scene) -> bool:
        process = scene.task_process()
        if process is None:
            return False
        worker = process.parent() if with_worker else None
        # The worker first, so that nothing reports the end.
        for victim in (worker, process):
            if victim is not None:
                _kill(victim)
        return True

    # The supervisor's last word in the task's log; where it died as well there is none, and the scheduler finds out.
    return Victim((0.0, 0.0), strike, true_causes=_FOUND_DEAD if with_worker else ("SIGKILL", *_FOUND_DEAD))


def _kill(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


_GIVEN_UP = ("Connectif does not respond as it should", "not delivered after all attempts")

VICTIMS: Mapping[str, Victim] = {
    "task": _task(with_worker=False),
    "task and worker": _task(with_worker=True),
    "triggerer": _component("triggerer", (0.5, 6.0)),
    "scheduler and workers": _component("scheduler", (0.0, 4.0), *_FOUND_DEAD),
    "database": _component(
        "postgres", (0.0, 4.0), "the journal's database", "OperationalError", *_NO_API, *_FOUND_DEAD
    ),
    "api-server": _component("api-server", (0.0, 5.0), *_NO_API, *_FOUND_DEAD),
    "Connectif is silent": _connectif(
        # No effect later on either, when nobody waits for it any more.
        [{"action": {"delay_s": 2 * CLIENT_TIMEOUT_S, "drop": True}}],
        *_GIVEN_UP,
    ),
    "Connectif hangs up": _connectif(
        [{"action": {"drop": True, "apply": True}, "probability": 0.5}, {"action": {"drop": True}}], *_GIVEN_UP
    ),
    "Connectif answers 5xx": _connectif(
        [{"action": {"status": 503}, "probability": 0.7}, {"action": {"status": 500, "apply": True}}], *_GIVEN_UP
    ),
    "Connectif answers 429": _connectif(
        [{"action": {"status": 429, "headers": {"Retry-After": "1"}}, "probability": 0.8}], *_GIVEN_UP
    ),
}
"""The table of victims by name."""
