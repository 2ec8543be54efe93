# ruff: noqa: F821 - names are those of the modules that are mutated
"""Every row of the response policy, and every way in which a stage may go wrong, taken out one at a time.

Each is caught by a unit test, so that all of them take a few minutes: ``make mutations``. See
:mod:`tests.support.mutations`.
"""

from __future__ import annotations

from tests.support.mutations import Mutation, Mutations
from tests.unit.mutations_of_choosing import CHOOSING
from tests.unit.mutations_of_comparison import COMPARISON
from tests.unit.mutations_of_consent import CONSENT
from tests.unit.mutations_of_delivery import DELIVERY
from tests.unit.mutations_of_erasures import ERASURES
from tests.unit.mutations_of_guards import GUARDED
from tests.unit.mutations_of_import_jobs import JOBS
from tests.unit.mutations_of_imports import IMPORTS
from tests.unit.mutations_of_journals import JOURNALS
from tests.unit.mutations_of_planning import PLANNING
from tests.unit.mutations_of_properties import PROPERTIES
from tests.unit.mutations_of_read_errors import READ_ERRORS
from tests.unit.mutations_of_rules import RULES
from tests.unit.mutations_of_runs import RUNS
from tests.unit.mutations_of_sink import SINK
from tests.unit.mutations_of_stored import STORED
from tests.unit.mutations_of_uploads import UPLOADS

POLICY = Mutations()

REJECT, RETRY, FAIL = "Rule(Action.REJECT)", "Rule(Action.RETRY)", "Rule(Action.FAIL)"
_TABLE = "test_response_policy.py::test_the_default_table"
_DOCUMENTS = "test_response_policy.py::test_only_connectifs_own_word_about_a_row_is_remembered"

ROWS = {
    "2xx": (REJECT, _TABLE),
    "2xx, another key": (
        "Rule(Action.ACCEPT)",
        "test_response_policy.py::test_a_success_that_shows_another_key_is_confirmed",
    ),
    "2xx, not Connectif's": (
        "Rule(Action.ACCEPT)",
        "test_response_policy.py::"
        "test_a_success_that_is_not_connectifs_counts_as_no_response_whatever_an_author_says_of_2xx",
    ),
    "3xx": (RETRY, _TABLE),
    "400 with the error document": (REJECT, _DOCUMENTS),
    "E0301": (REJECT, _TABLE),
    "E0401": (REJECT, _TABLE),
    "401": (RETRY, _TABLE),
    "403 with the error document": (REJECT, _DOCUMENTS),
    "403": (REJECT, _DOCUMENTS),
    "408": (REJECT, _TABLE),
    "413": (REJECT, _DOCUMENTS),
    "415": (REJECT, _TABLE),
    "421": (REJECT, _TABLE),
    "422 with the error document": (REJECT, _DOCUMENTS),
    "423": (REJECT, _TABLE),
    "425": (REJECT, _TABLE),
    "429": (RETRY, _TABLE),
    "4xx": (FAIL, _TABLE),
    "5xx": (REJECT, _TABLE),
    "no_answer": (REJECT, "test_response_policy.py::test_no_answer_is_a_row_of_its_own"),
}
"""The rule that stands in a row instead, and the test that notices."""

_MAY_BE_DONE = "test_response_policy.py::test_a_response_that_may_come_after_the_change_leaves_a_doubt"
_IS_NOT_DONE = "test_response_policy.py::test_a_response_that_says_that_nothing_was_done_leaves_none"
_NO_RESPONSE = (
    "test_response_policy.py::test_without_connectifs_response_there_is_a_doubt_unless_an_author_says_otherwise"
)

DOUBTS = {
    "2xx, not Connectif's": (False, _NO_RESPONSE),
    "408": (False, _MAY_BE_DONE),
    "5xx": (False, _MAY_BE_DONE),
    "no_answer": (False, _NO_RESPONSE),
    "E0301": (True, _IS_NOT_DONE),
    "E0401": (True, _IS_NOT_DONE),
    "421": (True, _IS_NOT_DONE),
    "423": (True, _IS_NOT_DONE),
    "425": (True, _IS_NOT_DONE),
    "429": (True, _IS_NOT_DONE),
}
"""Of each row whose change is not settled: the opposite of whether it may have been carried out."""

for _row, (_leaves_doubt, _test) in DOUBTS.items():
    POLICY.value(
        f"{_row}: {'a doubt' if _leaves_doubt else 'no doubt'}",
        "delivery.response_policy:DEFAULT_POLICY",
        f"MappingProxyType({{**original, {_row!r}: original[{_row!r}]._replace(leaves_doubt={_leaves_doubt})}})",
        _test,
    )

for _row, (_rule, _test) in ROWS.items():
    POLICY.value(
        f"{_row}: {_rule}",
        "delivery.response_policy:DEFAULT_POLICY",
        f"MappingProxyType({{**original, {_row!r}: {_rule}}})",
        _test,
    )


@POLICY.instead_of("delivery.response_policy:ResponsePolicy.for_status", _TABLE)
def what_no_row_names_is_retried(original, self, status, code=None, *, is_error_document=False):
    rule = original(self, status, code, is_error_document=is_error_document)
    return rule if f"{status // 100}xx" in DEFAULT_POLICY else Rule(Action.RETRY)


POLICY.value(
    "an author's class speaks of the key, too",
    "delivery.response_policy:_NOT_BY_CLASS",
    "frozenset()",
    "test_response_policy.py::test_an_author_changes_rows",
)
POLICY.value(
    "an author's rejection is never remembered",
    "delivery.response_policy:STATUSES_ABOUT_THE_ROW",
    "frozenset()",
    "test_response_policy.py::test_an_authors_rejection_is_remembered_where_the_tables_would_be",
)
POLICY.value(
    "a full queue is the row's fault",
    "delivery.response_policy:_ABOUT_THE_QUEUE",
    "frozenset()",
    _TABLE,
)
POLICY.value(
    "an author may write any action",
    "delivery.response_policy:_AUTHORS_ACTIONS",
    "tuple(Action)",
    "test_response_policy.py::test_a_change_that_cannot_work_is_refused",
)


@POLICY.instead_of(
    "delivery.response_policy:_is_row", "test_response_policy.py::test_a_change_that_cannot_work_is_refused"
)
def an_author_may_write_any_row(original, row):
    return True


STOPS = Mutations()

VERDICTS = {
    "FAIL": "TRY_AGAIN",
    "SKIP_TASK": "FAILED",
    "ALL_REJECTED": "TRY_AGAIN",
    "BLOCKED": "TRY_AGAIN",
    "LEFT_ALONE": "FAILED",
    "NO_DEFINITIONS": "SUCCESS",
    "NOT_RESPONDING": "SUCCESS",
    "ASKED_AGAIN": "SUCCESS",
    "KILLED": "SUCCESS",
    "TIMED_OUT": "FAILED",
    "DEFERRED": "SUCCESS",
    "PLAN_TOO_OLD": "FAILED",
    "CRASHED": "SUCCESS",
}
"""For each way to stop another verdict than its own."""

for _kind, _verdict in VERDICTS.items():
    STOPS.value(
        f"{_kind}: {_verdict}",
        "reporting.verdict:_STOP_VERDICTS",
        f"{{**original, StopKind.{_kind}: (Verdict.{_verdict}, original[StopKind.{_kind}][1])}}",
        "test_stop_verdicts.py::test_how_a_run_ends_that_stopped_early",
    )

MUTATIONS: list[Mutation] = [
    *(*POLICY, *STOPS, *PLANNING, *DELIVERY, *JOURNALS, *STORED, *GUARDED),
    *(*CHOOSING, *COMPARISON, *CONSENT, *PROPERTIES, *RULES, *IMPORTS, *UPLOADS, *JOBS, *RUNS, *SINK, *ERASURES),
    *READ_ERRORS,
]
