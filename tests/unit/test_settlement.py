"""How imports end, and what becomes of their contacts: each state, by a client that responds as the test says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_provider_connectif.api.errors import NoResponseError, RunStopped, TooManyRequestsError, error_class
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.contacts_of_files import PlannedContacts
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.rules import ImportRules, poll_delay_s
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.tally import ImportTally
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.journal.import_state import Group, ImportState, SentFile
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import FilesError
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict
from tests.support.clock import FakeClock

ROWS, INTERVAL_S = 10, 20.0
MAPPING = ContactMapping(properties={"_name": "name"})
Response = dict[str, Any] | Exception
DONE = {"status": "finished", "total": ROWS, "success": ROWS, "errors": 0}
RUNNING = {"status": "inProgress"}
NOT_FOUND = error_class(404)(404)


def email(number: int) -> str:
    return f"user{number}@example.com"


class Connectif:
    """Responds to each poll of an import with the next response, and to all later ones with the last."""

    tries, longest_wait_s = 3, 300.0

    def __init__(self, clock: FakeClock, responses: dict[str, Sequence[Response]], report: str | None) -> None:
        self.quota = Quota(clock=clock)
        self.clock, self.report = clock, report
        self.left = {import_id: list(of_import) for import_id, of_import in responses.items()}
        self.listed: list[list[dict[str, Any]]] = []
        self.polls: list[tuple[float, str]] = []
        self.lists = 0

    def get_import(self, import_id: str) -> Import:
        self.polls.append((self.clock.monotonic(), import_id))
        responses = self.left[import_id]
        response = responses.pop(0) if len(responses) > 1 else responses[0]
        if isinstance(response, Exception):
            raise response
        url = {} if self.report is None else {"errorReportFileUrl": "https://files.example.com/report"}
        return Import.parse({"id": import_id, **response, **url}, import_id)

    def list_imports(self) -> list[Import]:
        self.lists += 1
        return [Import.parse(each) for each in (self.listed.pop(0) if self.listed else [])]

    def download_error_report(self, url: str, sink: BinaryIO) -> int:
        assert self.report is not None
        return sink.write(self.report.encode())


class Lines:
    """The log, line by line."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        self.all.append(message % args if args else message)

    warning = debug = info


class OneGroup:
    """Files whose contacts are all in one group."""

    def group_of(self, number: int) -> int:
        return 0


class Night:
    """Files that are uploaded, and the account that knows how their imports are.

    :param responses: to the polls of each import, in turn.
    :param groups: of contacts. Default: one, in all files.
    """

    def __init__(
        self,
        folder: Path,
        *responses: Sequence[Response],
        report: str | None = None,
        groups: list[Group] | None = None,
        is_stopped: bool = False,
        **rules: Any,
    ) -> None:
        self.clock, self.log = FakeClock(), Lines()
        ids = [f"import-{number}" for number in range(len(responses))]
        self.connectif = Connectif(self.clock, dict(zip(ids, responses, strict=True)), report)
        self.state = ImportState(
            [SentFile(number, ROWS, since=1.0, import_id=import_id) for number, import_id in enumerate(ids)],
            groups or [Group(list(range(len(ids))), ROWS)],
            is_all_sent=True,
        )
        self.rules = ImportRules(poll_interval_s=INTERVAL_S, **rules)
        client: Any = self.connectif
        report_of_run = Report(ContactResource(MAPPING), self.connectif.quota, Rejects(None), None, self.log)
        self.context = ImportContext(client, self.rules, report_of_run, is_to_stop=lambda: is_stopped)
        self.watch = Watch(self.context, self.clock)
        self.account = ImportTally(report_of_run)
        self.account.report.tally.read = ROWS
        self.as_saved: Callable[[], dict[str, Any]] = dict
        self._folder = folder

    @contextmanager
    def settlement(self) -> Iterator[Settlement]:
        resource = ContactResource(MAPPING)
        files: Any = OneGroup()
        with PendingChanges(resource) as changes:
            changes.add(
                PendingChange(Patch(n, email(n), {"_name": "x"}, {"email": email(n)}), email(n)) for n in range(ROWS)
            )
            contacts = PlannedContacts(Split(changes, MAPPING, self.rules), self.state, files, None)
            yield Settlement(
                self.context, self.watch, self.state, contacts, None, self.account, self._folder, self.as_saved
            )

    def settle(self) -> int:
        with self.settlement() as settlement:
            return settlement.settle_all()

    @property
    def counts(self) -> dict[str, int]:
        return {outcome.value: count for outcome, count in self.account.report.tally.outcomes.items() if count}

    @property
    def failures(self) -> list[tuple[Verdict, str]]:
        return [(failure.verdict, failure.words) for failure in self.account.failures]

    @property
    def poll_times(self) -> list[float]:
        return [at for at, _ in self.connectif.polls]


def shown(status: str, success: int | None = None, errors: int | None = None, total: int | None = ROWS) -> Response:
    numbers = {"total": total, "success": success, "errors": errors}
    return {"status": status, **{name: number for name, number in numbers.items() if number is not None}}


@pytest.mark.parametrize(
    ("response", "counts", "verdict", "words"),
    [
        (shown("finished", 10, 0), {"imported": 10}, None, ""),
        (shown("finished", 7, 3), {"imported": 7, "rejected": 3}, None, ""),
        (shown("finished", 7, 1), {"imported": 7, "rejected": 1}, Verdict.FAILED, "2 of 10 rows could not be acc"),
        (shown("finished"), {}, Verdict.FAILED, "10 of 10 rows could not be accounted for"),
        (shown("finished", 11, 0, 11), {}, Verdict.FAILED, "it reports total 11, success 11, errors 0"),
        (
            shown("error", 4, 1),
            {"imported": 4, "rejected": 1, "undelivered": 5},
            Verdict.TRY_AGAIN,
            "import import-0 ended in error after 5 of 10 rows; the next attempt or run sends its rows again",
        ),
        (
            shown("cancelled", 4, 0),
            {"imported": 4, "undelivered": 6},
            Verdict.FAILED,
            "was cancelled in the app after 4 of 10 rows; the next run sends its rows again",
        ),
        (NOT_FOUND, {"undelivered": 10}, Verdict.TRY_AGAIN, "import import-0 no longer exists"),
    ],
)
def test_each_end_of_an_import(
    response: Response, counts: dict[str, int], verdict: Verdict | None, words: str, tmp_path: Path
) -> None:
    night = Night(tmp_path, [RUNNING, response])
    assert night.settle() == 1
    assert night.counts == counts
    assert night.account.unaccounted == ROWS - sum(counts.values())
    assert [found for found, _ in night.failures] == ([] if verdict is None else [verdict])
    assert all(words in told for _, told in night.failures)
    (sent,) = night.state.files
    assert sent.is_settled
    assert sent.is_failed is (verdict is Verdict.TRY_AGAIN)
    assert sent.is_whole is (counts == {"imported": ROWS})


@pytest.mark.parametrize("ends_at", [0, 1], ids=["the first import", "the second import"])
def test_a_state_that_is_counted_in_part_is_not_to_be_stored(ends_at: int, tmp_path: Path) -> None:
    """The process may end at any moment: by ``execution_timeout``, or since the journal's database fails."""
    night = Night(tmp_path, [DONE], [DONE], groups=[Group([0], ROWS), Group([1], ROWS)])
    left = [None] * ends_at

    def as_saved() -> dict[str, Any]:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return {}

    night.as_saved = as_saved
    with pytest.raises(KeyboardInterrupt):
        night.settle()
    assert night.state.is_half_counted
    assert [sent.is_settled for sent in night.state.files] == [True] * ends_at + [False] * (2 - ends_at)


def test_a_state_that_is_counted_whole_may_be_stored(tmp_path: Path) -> None:
    night = Night(tmp_path, [DONE])
    night.settle()
    assert not night.state.is_half_counted


def test_an_import_that_keeps_contacts_counts_the_others_as_not_taken(tmp_path: Path) -> None:
    night = Night(tmp_path, [shown("finished", 7, 1)], on_existing="keep")
    night.settle()
    assert (night.counts, night.failures, night.account.unaccounted) == ({"imported": 7, "not_taken": 3}, [], 0)


@pytest.mark.parametrize("response", [shown("queued"), RUNNING, shown("paused"), {"status": None}])
def test_what_is_no_end_is_waited_for(response: Response, tmp_path: Path) -> None:
    night = Night(tmp_path, [*[response] * 4, DONE])
    assert night.settle() == 1
    assert night.poll_times == [number * INTERVAL_S for number in range(5)]
    assert night.counts == {"imported": ROWS}
    strange = [line for line in night.log.all if "not documented" in line]
    assert len(strange) == (response not in (shown("queued"), RUNNING))


@pytest.mark.parametrize("doubtful", [shown("finished"), shown("finished", 3, 0), NOT_FOUND])
def test_an_end_that_does_not_account_for_the_rows_must_show_three_times(doubtful: Response, tmp_path: Path) -> None:
    night = Night(tmp_path, [doubtful, doubtful, DONE])
    night.settle()
    assert (night.counts, night.failures) == ({"imported": ROWS}, [])
    night = Night(tmp_path, [doubtful, doubtful, RUNNING, doubtful])
    night.settle()
    assert len(night.failures) == 1
    assert len(night.poll_times) == 6  # what was shown before another state does not count


def test_numbers_that_grow_are_waited_for(tmp_path: Path) -> None:
    night = Night(tmp_path, [shown("finished", count, 0) for count in (2, 4, 6, 8, 10)])
    night.settle()
    assert (night.counts, night.failures) == ({"imported": ROWS}, [])


# Polls


def test_several_imports_share_an_interval_and_each_is_settled_when_it_ends(tmp_path: Path) -> None:
    groups = [Group([number], ROWS) for number in range(3)]
    night = Night(tmp_path, [RUNNING, RUNNING, DONE], [DONE], [RUNNING, DONE], groups=groups)
    assert night.settle() == 3
    by_import = {name: [at for at, polled in night.connectif.polls if polled == name] for name in night.connectif.left}
    assert [len(times) for times in by_import.values()] == [3, 1, 2]
    assert all(later - at >= INTERVAL_S for times in by_import.values() for at, later in itertools.pairwise(times))
    assert all(later - at >= 3.0 for at, later in itertools.pairwise(night.poll_times))


@pytest.mark.parametrize(
    ("interval", "imports", "delay"), [(20.0, 1, 20.0), (20.0, 4, 5.0), (20.0, 10, 3.0), (1.0, 5, 1.0), (20.0, 0, 20.0)]
)
def test_polls_share_the_interval_and_leave_the_account_its_allowance(
    interval: float, imports: int, delay: float
) -> None:
    assert poll_delay_s(interval, imports) == delay


def test_no_usable_response_is_waited_for_with_growing_delays(tmp_path: Path) -> None:
    failures: list[Response] = [error_class(503)(503), NoResponseError("no answer"), error_class(500)(500)]
    night = Night(tmp_path, [*failures, TooManyRequestsError(429), DONE])
    night.settle()
    assert (night.counts, night.failures) == ({"imported": ROWS}, [])
    assert night.context.report.effort.failures.startswith("3 failed requests, last: ")


def test_a_retry_after_is_heeded_and_one_that_is_too_long_ends_the_wait(tmp_path: Path) -> None:
    night = Night(tmp_path, [error_class(503)(503, retry_after=100.0), DONE])
    night.settle()
    assert night.poll_times[1] - night.poll_times[0] >= 100.0
    night = Night(tmp_path, [error_class(503)(503, retry_after=3600.0)])
    with pytest.raises(ImportFailed) as failure:
        night.settle()
    assert (failure.value.verdict, failure.value.final) == (Verdict.TRY_AGAIN, False)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_it_for_good(status: int, tmp_path: Path) -> None:
    night = Night(tmp_path, [error_class(status)(status, is_error_document=True)])
    with pytest.raises(ImportFailed) as failure:
        night.settle()
    assert failure.value.final
    assert failure.value.is_about_the_key


def test_the_time_of_a_run_ends_the_wait_and_says_how_the_imports_stand(tmp_path: Path) -> None:
    night = Night(tmp_path, [{**RUNNING, "total": 10, "success": 4, "errors": 0}], timeout_s=50.0)
    with (
        night.watch.waiting.described(lambda _: night.watch.describe(night.state.files)),
        pytest.raises(ImportFailed, match=r"4 of 10 rows processed; still running: import-0 \(inProgress\)") as failure,
    ):
        night.settle()
    assert failure.value.verdict is Verdict.TRY_AGAIN
    assert night.poll_times == [0.0, 20.0, 40.0]


def test_rows_of_imports_that_an_earlier_process_has_settled_are_not_counted_as_open(tmp_path: Path) -> None:
    night = Night(tmp_path, [DONE], [RUNNING])
    night.state.files[0].is_settled = True  # before a deferral, so this process has not polled it
    assert night.watch.describe(night.state.files) == "1 of 2 imports ended; still running: import-1 (uploaded)"
    night.watch.look("import-0")
    night.watch.look("import-1")
    assert night.watch.describe(night.state.files) == (
        "1 of 2 imports ended, 10 of 20 rows processed; still running: import-1 (inProgress)"
    )


def test_who_was_told_to_stop_waits_for_no_import(tmp_path: Path) -> None:
    night = Night(tmp_path, [RUNNING], is_stopped=True)
    with pytest.raises(RunStopped):
        night.settle()
    assert night.poll_times == []


def test_what_is_due_is_polled_and_nothing_is_waited_for(tmp_path: Path) -> None:
    night = Night(tmp_path, [RUNNING, DONE])
    with night.settlement() as settlement:
        settlement.settle_due()
        settlement.settle_due()
        assert (night.poll_times, night.counts) == ([0.0], {})
        night.clock.advance(INTERVAL_S)
        settlement.settle_due()
    assert (night.poll_times, night.counts) == ([0.0, INTERVAL_S], {"imported": ROWS})


# Contacts in several files, and error reports


@pytest.mark.parametrize(
    ("responses", "counts"),
    [
        ([DONE, DONE], {"imported": 10}),
        ([DONE, shown("finished", 8, 2)], {"imported": 8, "rejected": 2}),
        ([DONE, shown("error", 8, 0)], {"undelivered": 10}),
        ([NOT_FOUND, DONE], {"undelivered": 10}),
    ],
)
def test_a_contact_is_counted_once_when_all_its_files_are_settled(
    responses: list[Response], counts: dict[str, int], tmp_path: Path
) -> None:
    night = Night(tmp_path, *([response] for response in responses))
    assert night.settle() == 2
    assert (night.counts, night.account.unaccounted) == (counts, 0)


def test_an_error_report_names_the_rows_that_are_rejected(tmp_path: Path) -> None:
    report = f"_email,error\n{email(3)},no name\n{email(5)},no name\n"
    night = Night(tmp_path, [shown("finished", 8, 2)], report=report)
    night.settle()
    assert night.counts == {"imported": 8, "rejected": 2}
    assert list(night.account.report.tally.examples.values()) == [[3, 5]]
    (sent,) = night.state.files
    assert sent.is_whole
    assert night.state.groups[0].refused == 2


def test_a_disk_without_room_for_an_error_report_is_named(tmp_path: Path) -> None:
    night = Night(tmp_path, [shown("finished", 9, 1)], report=f"_email,error\n{email(3)},no name\n")
    (tmp_path / "report.csv").symlink_to("/dev/full")
    with pytest.raises(FilesError, match=r"cannot be stored in '.*' \(No space left on device\)\. Free space"):
        night.settle()


def test_a_contact_that_two_reports_name_is_rejected_once(tmp_path: Path) -> None:
    night = Night(tmp_path, *[[shown("finished", 9, 1)]] * 2, report=f"_email,error\n{email(3)},no name\n")
    night.settle()
    assert night.counts == {"imported": 9, "rejected": 1}


def test_a_report_that_does_not_name_as_many_rows_is_not_believed(tmp_path: Path) -> None:
    night = Night(tmp_path, [shown("finished", 8, 2)], report=f"_email,error\n{email(3)},no name\n")
    night.settle()
    assert (night.counts, night.account.report.tally.examples) == ({"imported": 8, "rejected": 2}, {})
    assert any("does not show the keys of its 2 rejected rows" in line for line in night.log.all)
    assert not night.state.files[0].is_whole


# Uploads without a response


def test_an_upload_without_a_response_is_waited_for_until_nothing_of_it_can_be_open(tmp_path: Path) -> None:
    night = Night(tmp_path, [RUNNING])
    ours, app, other = (
        {"id": name, "type": "contacts", "origin": origin, "status": "inProgress"}
        for name, origin in (("import-0", "api"), ("of-the-app", "app"), ("other", "api"))
    )
    night.connectif.listed = [[ours, app], [ours, app, other]]
    night.connectif.left["other"] = [RUNNING, DONE]
    night.watch.until_none_is_open(1.0, night.state.known_ids)
    assert night.connectif.lists == 3  # an import may stand in the list a moment later
    assert [polled for _, polled in night.connectif.polls] == ["other", "other"]


@pytest.mark.parametrize(
    ("has_timeout", "limit", "advice"),
    [
        (True, "timeout (1 min 40 s)", "If imports usually take longer, raise timeout"),
        (False, "1 min 40 s", "The next attempt continues to wait"),
    ],
)
def test_the_time_of_a_run_ends_that_wait_too_and_says_what_for(
    tmp_path: Path, has_timeout: bool, limit: str, advice: str
) -> None:
    night = Night(tmp_path, timeout_s=100.0, has_timeout=has_timeout)
    night.connectif.listed = [[{"id": "other", "type": "contacts", "origin": "api", "status": "inProgress"}]]
    night.connectif.left["other"] = [RUNNING]
    with (
        night.watch.waiting.described(lambda _: night.watch.describe(night.state.files)),
        pytest.raises(ImportFailed) as failure,
    ):
        night.watch.until_none_is_open(1.0, ())
    assert failure.value.words == (
        f"The imports did not finish within {limit}: no file is uploaded; "
        f"1 open import may be from an earlier upload: other. {advice}"
    )
    with pytest.raises(ImportFailed) as without_words:
        night.watch.waiting.check()
    assert without_words.value.words == f"The imports did not finish within {limit}: waiting. {advice}"


def test_a_list_that_cannot_be_read_is_tried_again_and_then_fails_the_run(tmp_path: Path) -> None:
    night = Night(tmp_path, [RUNNING])
    failures: list[Exception] = [error_class(503)(503), error_class(503)(503)]

    def list_imports() -> list[Import]:
        night.connectif.lists += 1
        if failures:
            raise failures.pop()
        return []

    night.connectif.list_imports = list_imports  # type: ignore[method-assign]
    night.watch.until_none_is_open(1.0, ())
    assert night.connectif.lists == 2 + 3
    failures += [error_class(503)(503)] * night.connectif.tries
    with pytest.raises(ImportFailed, match="list of imports cannot be read") as failure:
        night.watch.until_none_is_open(1.0, ())
    assert failure.value.verdict is Verdict.TRY_AGAIN
    failures[:] = [error_class(404)(404)]
    with pytest.raises(ImportFailed) as failure:
        night.watch.until_none_is_open(1.0, ())
    assert failure.value.final
