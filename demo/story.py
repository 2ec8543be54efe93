"""The acts of the demo: each says what is about to happen, runs a task, and says what came of it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from demo import nights
from demo.airflow_home import AirflowHome, Run
from demo.checks import Outcome, with_campaign_points
from demo.flaws import REFUSALS
from demo.screen import Screen
from demo.sums import KilledNight, bad_rows_in_words, rows_in_words
from demo.warehouse import SUBSCRIPTION, Row

DAG, SURVEY = "customers_every_night", "survey_by_import"
TITLES = {
    "first": "The first night",
    "resumed": "Killed in the middle of the night",
    "quiet": "A quiet night",
    "wedding": "Somebody has unsubscribed",
    "imported": "Many contacts in few requests",
    "refused": "The wrong key",
}
"""Of the acts, in their order, by the name of their run in :class:`demo.checks.Outcome`."""
WRONG_SECRET = "a-secret-that-connectif-does-not-know"
FAULTS: tuple[tuple[int, dict[str, Any]], ...] = (  # requests to leave alone first, and what happens then, once
    (40, {"status": 503}),
    (70, {"drop": True}),
    (150, {"status": 429, "headers": {"Retry-After": "1"}}),
)
_KILLED_AFTER = 60  # requests
_RESPONSE_S = 0.15
_PATCH = "PATCH /contacts/{email}"


class Story:
    """The demo's acts, in their order.

    :param sandbox: Connectif's stand-in.
    :param airflow: loaded, with its database.
    :param folder: has ``warehouse.db``.
    """

    def __init__(
        self,
        screen: Screen,
        sandbox: Any,
        airflow: AirflowHome,
        folder: Path,
        customers: Sequence[Row],
        answers: Sequence[Row],
    ) -> None:
        self._screen, self._sandbox, self._airflow, self._folder = screen, sandbox, airflow, folder
        self._customers, self._answers = customers, answers
        self._patches: dict[str, int] = {}

    def play(self) -> Outcome:
        """All acts.

        :return: what there is to check.
        """
        first = self._first_night()
        campaign = nights.after_campaign(self._customers)
        resumed, after_kill, after_resume = self._killed_night(campaign)
        moved = nights.after_moves(campaign)
        quiet = self._quiet_night(moved)
        at_end = nights.after_wedding(moved)
        wedding = self._wedding(at_end)
        imported = self._import()
        refused = self._wrong_key()
        return Outcome(
            first=first,
            resumed=resumed,
            quiet=quiet,
            wedding=wedding,
            imported=imported,
            refused=refused,
            patches=self._patches,
            customers=self._customers,
            customers_at_end=at_end,
            answers=self._answers,
            after_kill=after_kill,
            after_resume=after_resume,
            contacts=self._sandbox.contacts(),
            faults_struck=[fault["struck"] for fault in self._sandbox.faults()[: len(FAULTS)]],
            log=(self._folder / "airflow.log").read_text(encoding="utf-8"),
            secrets=(WRONG_SECRET, self._sandbox.api_key.partition(":")[2]),
        )

    def _first_night(self) -> Run:
        for after, action in FAULTS:
            self._sandbox.add_fault(action, match={"method": "PATCH"}, times=1, after=after)
        for refusal in REFUSALS:
            self._sandbox.add_fault(**refusal)
        bad = sum(row.flaw is not None for row in self._customers)
        self._begin(
            "first",
            f"Connectif knows none of the {len(self._customers)} customers in the warehouse, and {bad} rows are bad: "
            "an e-mail without @, the 30th of February, half a point. On the way Connectif responds 503 once, breaks a "
            "connection, sends a 429 ahead of time, and its 100 requests per window run out. Every good row "
            "should arrive.",
        )
        run = self._run("first", "dags", "test", DAG, "2026-03-01")
        refused = run.summary["invalid"] + run.summary["rejected"]
        self._screen.result(
            f"{rows_in_words(run.summary)}. {bad_rows_in_words(bad, run.summary)}. The {refused} that are invalid or "
            "rejected are in the rejects file, each with its reason. The failure budget is 15 % of the rows, so the "
            "task is green."
        )
        return run

    def _killed_night(self, customers: Sequence[Row]) -> tuple[Run, Any, Any]:
        self._begin(
            "resumed",
            f"A campaign has given {nights.CAMPAIGN} customers new points. After {_KILLED_AFTER} responses kill "
            "-9 ends the task's process, which has no time to write anything down. The task then runs again, as a "
            "retry by Airflow would: the journal knows what Connectif has acknowledged.",
        )
        # As over the internet. Without it a hundred requests would be sent before this process could kill anything.
        self._sandbox.add_fault({"delay_s": _RESPONSE_S}, match={"method": "PATCH"})
        nights.store(self._folder / "warehouse.db", customers)
        arguments = ("tasks", "test", DAG, "deliver", "2026-03-02")
        before, total_before = self._count(), self._total()
        self._announce(arguments)
        pid = self._airflow.run_and_kill(
            arguments, self._environment(), lambda: self._count() - before >= _KILLED_AFTER
        )
        self._patches["killed"] = self._settled_count() - before
        after_kill = self._sandbox.contacts()
        self._screen.command(f"kill -9 {pid}")
        run = self._run("resumed", *arguments)
        after_resume = self._sandbox.contacts()
        killed, resumed = self._patches["killed"], self._patches["resumed"]
        night = KilledNight(
            changes=nights.CAMPAIGN,
            arrived=with_campaign_points(after_kill),
            after=with_campaign_points(after_resume),
            first=killed,
            second=resumed,
            others=self._total() - total_before - killed - resumed,
            recorded=run.summary["requests"],
        )
        self._screen.result(f"{night.words} {rows_in_words(run.summary)}.")
        return run, after_kill, after_resume

    def _quiet_night(self, customers: Sequence[Row]) -> Run:
        self._begin(
            "quiet",
            f"{nights.MOVED} customers have moved to another city, and nothing else has changed. A run without a "
            "journal would send all contacts again. This one compares each row with what Connectif has acknowledged.",
        )
        nights.store(self._folder / "warehouse.db", customers)
        run = self._run("quiet", "dags", "test", DAG, "2026-03-03")
        patches, requests = self._patches["quiet"], run.summary["requests"]
        self._screen.result(
            f"{rows_in_words(run.summary)}. {requests} requests = {patches} for the changed rows + "
            f"{requests - patches} to read the account's fields. The other rows cost none."
        )
        return run

    def _wedding(self, customers: Sequence[Row]) -> Run:
        her = nights.subscriber(customers)
        self._begin(
            "wedding",
            f"{nights.SUBSCRIBER} unsubscribes with the link in a newsletter: Connectif knows, and the warehouse does "
            'not. Her row still says "subscribed" when she marries and her surname changes. The run should send the '
            "surname and leave her decision alone.",
        )
        self._unsubscribe(her.email)
        nights.store(self._folder / "warehouse.db", customers)
        run = self._run("wedding", "dags", "test", DAG, "2026-03-04")
        contact = self._sandbox.contacts()[her.email]
        self._screen.result(
            f"Connectif holds: {contact['_name']} {contact['_surname']}, newsletter {contact[SUBSCRIPTION]}. "
            f"Consents kept: {run.summary.get('consent_kept', 0)}. {rows_in_words(run.summary)}."
        )
        return run

    def _import(self) -> Run:
        minutes = len(self._answers) / 100
        self._begin(
            "imported",
            f"A survey has brought {len(self._answers):,} answers, most of them by people who are no customers yet. "
            f"One by one they would take {minutes:.0f} minutes at the real Connectif's rate limit. The import operator "
            "uploads them as CSV files, and reads what became of each row.",
        )
        run = self._run("imported", "dags", "test", SURVEY, "2026-03-05")
        self._screen.result(
            f"{rows_in_words(run.summary)}. {run.summary['requests']} requests in all. The bad rows were left out, and "
            "are reported."
        )
        return run

    def _wrong_key(self) -> Run:
        self._begin(
            "refused",
            "Somebody has stored a wrong API key. The task has three attempts, but waiting does not make a key "
            "right: it should fail at the first one, and say what to do.",
        )
        run = self._run("refused", "dags", "test", DAG, "2026-03-06", secret=WRONG_SECRET)
        self._screen.result(
            f"The task {run.state} at attempt {run.tries} of {run.may_try}. No row was read, and no contact changed."
        )
        return run

    def _begin(self, name: str, words: str) -> None:
        self._screen.act(list(TITLES).index(name) + 1, TITLES[name], words)

    def _run(self, name: str, *arguments: str, secret: str | None = None) -> Run:
        """Run a task, and note under ``name`` how many PATCH requests the sandbox has counted meanwhile."""
        before = self._count()
        self._announce(arguments)
        run = self._airflow.run(arguments, self._environment(secret))
        self._patches[name] = self._count() - before
        return run

    def _announce(self, arguments: Sequence[str]) -> None:
        self._screen.activity = f"airflow {arguments[0]} {arguments[1]} is at work"
        self._screen.command(f"airflow {' '.join(arguments)}")

    def _count(self) -> int:
        """PATCH requests so far, as the sandbox counts them."""
        return int(self._sandbox.requests()["by_endpoint"].get(_PATCH, 0))

    def _settled_count(self) -> int:
        """PATCH requests, once those that were in flight when their sender was killed have been carried out."""
        counted = -1
        while (count := self._count()) != counted:
            counted = count
            time.sleep(2 * _RESPONSE_S)
        return counted

    def _total(self) -> int:
        """Requests so far, as the sandbox counts them."""
        return int(self._sandbox.requests()["total"])

    def _environment(self, secret: str | None = None) -> dict[str, str]:
        key_id, _, right = self._sandbox.api_key.partition(":")
        connectif = {"conn_type": "connectif", "host": self._sandbox.url, "password": f"{key_id}:{secret or right}"}
        databases = {
            name: json.dumps({"conn_type": "sqlite", "host": str(self._folder / f"{name.lower()}.db")})
            for name in ("WAREHOUSE", "JOURNAL")
        }
        return {
            "AIRFLOW_CONN_CONNECTIF_DEFAULT": json.dumps(connectif),
            **{f"AIRFLOW_CONN_{name}": connection for name, connection in databases.items()},
            "AIRFLOW_VAR_CONNECTIF_REJECTS": str(self._folder / "rejects"),
        }

    def _unsubscribe(self, email: str) -> None:
        """What Connectif does when somebody follows the link; the demo's own request, with the sandbox's key."""
        request = urllib.request.Request(
            f"{self._sandbox.url}/contacts/{quote(email, safe='')}",
            json.dumps({SUBSCRIPTION: "unsubscribed"}).encode(),
            {"Authorization": f"apiKey {self._sandbox.api_key}", "Content-Type": "application/json"},
            method="PATCH",
        )
        without_proxy(request)


def without_proxy(request: urllib.request.Request | str) -> bytes:
    """The body of the response; no proxy of the environment stands between."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        body: bytes = response.read()
    return body
