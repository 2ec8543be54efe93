"""Play nights and print what came of them: ``make chaos SEEDS=50``, or ``make chaos SEED=17`` for one again.

Five are played at once; ``SEED='16 17'`` plays these two so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.e2e.chaos.init import Init
from tests.e2e.chaos.ledger import SECRET
from tests.e2e.chaos.night import Night, night_of
from tests.e2e.chaos.scene import Scene, play
from tests.e2e.chaos.verdict import Account, account_of, violations
from tests.e2e.deployment import Deployment, ended_by_sigterm

_AT_ONCE = 5
# All nights' tasks, and what is left of tasks that nobody hears of any more.
_OPTIONS = {"CORE__PARALLELISM": 2 * _AT_ONCE}


@dataclass(frozen=True)
class Line:
    """What became of a night."""

    night: Night
    victims: str
    account: Account | None
    seconds: float
    wrong: list[str]

    @property
    def cells(self) -> tuple[str, ...]:
        """Its line in the table."""
        tries, sent_twice = ("?", "?") if self.account is None else (self.account.tries, self.account.sent_twice)
        result = "VIOLATED" if self.wrong else "ok"
        return (
            *(str(self.night.seed), str(self.night), self.victims, str(tries), str(sent_twice)),
            *(f"{self.seconds:.0f}", result),
        )


_HEADS = ("seed", "night", "victims", "tries", "sent twice", "seconds", "result")


def main() -> int:
    """Return 0 if everything held after every night."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="the nights 1 to N (10)")
    parser.add_argument("--seed", type=int, action="append", help="this night; may be given several times")
    parser.add_argument("--at-once", type=int, default=_AT_ONCE, metavar="N", help=f"nights at once ({_AT_ONCE})")
    asked = parser.parse_args()
    seeds = list(dict.fromkeys(asked.seed or range(1, asked.seeds + 1)))
    with ended_by_sigterm(), Deployment(options=_OPTIONS, is_lent=True) as deployment:
        journal = deployment.database.airflow_connection("journal")
        journal["extra"] = {"connectif_journal_secret": SECRET}
        deployment.rest.define_connection("journal_with_secret", journal)
        lines: list[Line] = []
        try:
            for first in range(0, len(seeds), asked.at_once):
                lines.extend(_played(deployment, seeds[first : first + asked.at_once]))
        finally:
            _print_table(lines)
    violated = [line for line in lines if line.wrong]
    print(f"\n{len(lines) - len(violated)} of {len(lines)} nights as they should be")
    return 1 if violated else 0


def _played(deployment: Deployment, seeds: Sequence[int]) -> Iterator[Line]:
    """Play these nights at once."""
    init = Init(deployment)
    scenes = [Scene(deployment, night_of(seed), init) for seed in seeds]
    try:
        play(scenes, init)
        for scene in scenes:
            yield _line(scene, seeds)
        if init.started_again:
            print(f"    started again by the init system: {', '.join(init.started_again)}", flush=True)
    finally:
        for scene in scenes:
            scene.close()


def _line(scene: Scene, together: Sequence[int]) -> Line:
    account, wrong = None, scene.broken
    if not wrong:
        account, wrong = account_of(scene), violations(scene)
    if wrong:
        wrong = [*wrong, *scene.evidence()]
    line = Line(scene.night, scene.victims(), account, scene.seconds, wrong)
    print("  ".join(line.cells), flush=True)
    for words in wrong:
        print(f"    seed {scene.night.seed}: {words}", flush=True)
    if wrong:
        print(f"    again: make chaos SEED='{' '.join(map(str, together))}'", flush=True)
    return line


def _print_table(lines: Iterable[Line]) -> None:
    rows = [_HEADS, *(line.cells for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
