"""Every row of the response policy, every verdict and every error path of a stage: a unit test notices it missing."""

from __future__ import annotations

import pytest

from airflow_provider_connectif.delivery.response_policy import DEFAULT_POLICY, Action
from airflow_provider_connectif.imports import rules, tally
from airflow_provider_connectif.records.outcomes import StopKind
from tests.support.mutations import Mutation, fails_without, faults_of, ids, is_there
from tests.support.prepared_python import PreparedPython
from tests.unit.mutations import DOUBTS, MUTATIONS, ROWS, VERDICTS
from tests.unit.mutations_of_imports import FATES, ON_EXISTING, TROUBLES


def test_every_row_of_the_policy_has_one() -> None:
    assert set(ROWS) == set(DEFAULT_POLICY)


def test_every_row_that_sends_again_has_one_for_its_doubt() -> None:
    rows = {name: rule for name, rule in DEFAULT_POLICY.items() if rule.action in (Action.RETRY, Action.WAIT)}
    assert {name: not doubt for name, (doubt, _) in DOUBTS.items()} == {
        name: rule.leaves_doubt for name, rule in rows.items()
    }


def test_every_way_to_stop_has_one() -> None:
    assert set(VERDICTS) == {kind.name for kind in StopKind}


def test_every_row_of_the_tables_of_an_import_has_one() -> None:
    assert set(FATES) == set(rules.FATES)
    assert set(TROUBLES) == {fate.name for fate in tally.FAILURES_BY_FATE}
    assert set(ON_EXISTING) == set(rules.ON_EXISTING)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=ids(MUTATIONS))
def test_what_a_mutation_replaces_is_there(mutation: Mutation) -> None:
    assert faults_of(mutation) == []
    assert is_there(mutation, "tests/unit")


@pytest.mark.mutations
@pytest.mark.parametrize("mutation", MUTATIONS, ids=ids(MUTATIONS))
def test_its_test_notices(mutation: Mutation, prepared_python: PreparedPython) -> None:
    fails_without(mutation, prepared_python, "tests/unit")
