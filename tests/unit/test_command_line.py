"""The parts of the command line that need neither Airflow's database nor a server."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import airflow
import pytest

from airflow_provider_connectif.cli.commands import COMMANDS, Command, Group
from airflow_provider_connectif.cli.fields import proposed
from airflow_provider_connectif.cli.main import parser
from airflow_provider_connectif.cli.output import show
from airflow_provider_connectif.contacts.fields import Field, FieldTable
from airflow_provider_connectif.contacts.live_comparison import Held, compare_with_digest, compare_with_row
from airflow_provider_connectif.databases.journal_places import JournalPlace, place_of
from airflow_provider_connectif.journal.next_step import Action, next_step
from airflow_provider_connectif.journal.properties import Mark, kept_marks, value_digest

pytestmark = pytest.mark.versions

FIELDS = FieldTable("email", [Field("tier", "radio", (("gold", "Gold"),), custom=True), Field("since", "date")])


def commands_of(group: Group) -> list[Command]:
    return [
        command
        for entry in group.commands
        for command in ([entry] if isinstance(entry, Command) else commands_of(entry))
    ]


@pytest.mark.parametrize("command", commands_of(COMMANDS), ids=lambda command: command.name)
def test_each_command_has_its_function_and_the_options_of_all(command: Command) -> None:
    module, _, name = command.run.partition(":")
    assert callable(getattr(importlib.import_module(f"airflow_provider_connectif.cli.{module}"), name))
    flags = {flag for option in command.options for flag in option.flags}
    assert {"--output", "--verbose"} <= flags


@pytest.mark.skipif(tuple(map(int, airflow.__version__.split(".")[:2])) < (3, 2), reason="the key cli is of 3.2")
def test_airflow_finds_the_commands() -> None:
    from airflow.providers_manager import ProvidersManager

    from airflow_provider_connectif.cli.airflow_commands import commands

    assert "airflow-provider-connectif" in ProvidersManager().cli_command_providers
    (group,) = commands()
    assert {command.name for command in group.subcommands} == {"fields", "check", "explain", "journal"}


def test_the_table_of_commands_imports_nothing_heavy() -> None:
    """Airflow imports it at each of its own commands."""
    code = (
        "import sys; import airflow_provider_connectif.cli.commands, airflow_provider_connectif.cli.running; "
        "print([m for m in ('airflow', 'requests', 'pendulum', 'sqlalchemy', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PARSE_DAGS = """
import builtins, importlib
ours = "airflow_provider_connectif"
refused = ("sqlalchemy", "fastapi", "starlette", "phonenumbers", "requests", "requests_toolbelt", "urllib3")
lazy = tuple(f"{ours}.{name}" for name in ("cli", "web", "sandbox"))
given = builtins.__import__

def watched(name, globals=None, *more, **named):
    is_ours = str((globals or {}).get("__name__")).startswith(ours)
    if is_ours and (name.split(".")[0] in refused or name.startswith(lazy)):
        raise ImportError(f"{globals['__name__']} imports {name}")
    return given(name, globals, *more, **named)

builtins.__import__ = watched
for name in ("contacts", "imports", "sync", "erasure", "requests"):
    importlib.import_module(f"{ours}.operators.{name}")
importlib.import_module(f"{ours}.decorators.contacts")
"""


@pytest.mark.slow
def test_a_dag_that_is_parsed_imports_nothing_that_only_a_run_needs() -> None:
    """Airflow itself may have loaded SQLAlchemy by then, so each import of this package is looked at."""
    done = subprocess.run([sys.executable, "-c", PARSE_DAGS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("warehouse", JournalPlace("warehouse")),
        (" warehouse:mine ", JournalPlace("warehouse", "mine")),
        ("warehouse:marketing.mine", JournalPlace("warehouse", "mine", "marketing")),
    ],
)
def test_where_a_journal_is(text: str, place: JournalPlace) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize(
    ("state", "known", "action"),
    [
        (None, {}, Action.SEND),
        ("acknowledged", {"knows_row": True, "knows_properties": True}, Action.COMPARE),
        ("acknowledged", {"knows_properties": True}, Action.COMPARE),
        ("acknowledged", {}, Action.SEND),
        ("rejected", {"is_held": True}, Action.HOLD),
        ("rejected", {}, Action.SEND),
        ("invalid", {}, Action.HOLD),
        ("undelivered", {}, Action.COMPARE),
        ("in_doubt", {"is_held": True}, Action.HOLD),
        ("in_doubt", {}, Action.COMPARE),
        ("left", {}, Action.NOTHING),
        ("left", {"has_reason": True}, Action.SEND),
        ("removed", {}, Action.NOTHING),
        ("removed", {"has_reason": True}, Action.NOTHING),
        ("left", {"is_pending": True}, Action.SEND),
        ("in_doubt", {"is_in_import": True}, Action.COMPARE),
    ],
)
def test_what_the_next_run_does(state: str | None, known: dict[str, bool], action: Action) -> None:
    nothing = {"is_held": False, "knows_row": False, "knows_properties": False, "is_pending": False}
    step = next_step(state, **(nothing | known))
    assert step.action is action
    assert step.words.endswith(".")
    assert step.why.endswith(".")


def test_a_rejected_removal_is_not_called_a_missing_response() -> None:
    about = {"is_held": False, "knows_row": False, "knows_properties": True, "is_pending": False}
    assert next_step("left", **about, has_reason=True).why.endswith("Connectif has rejected the request of on_removed.")
    assert next_step("left", **about).why.endswith("nothing was done about that at Connectif.")


def test_a_skipped_removal_is_not_called_carried_out() -> None:
    about = {"is_held": False, "knows_row": False, "knows_properties": True, "is_pending": False}
    assert "on_response skips the response" in next_step("removed", **about, has_reason=True).why
    assert next_step("removed", **about).why.endswith("that was carried out at Connectif.")


def test_a_state_of_a_later_version_is_named() -> None:
    step = next_step("parked", is_held=False, knows_row=False, knows_properties=False, is_pending=False)
    assert (step.action, "'parked'" in step.why) == (Action.COMPARE, True)


@pytest.mark.parametrize(
    ("accepted", "shown", "held"),
    [
        ("gold", "gold", Held.EQUAL),
        ("gold", "Gold", Held.EQUAL),  # the option by its label
        ("gold", "silver", Held.DIFFERS),
        ("gold", None, Held.MISSING),
        ("gold", "", Held.MISSING),
        (None, None, Held.EQUAL),
        (None, "gold", Held.DIFFERS),
    ],
)
def test_a_shown_value_against_a_digest(accepted: Any, shown: Any, held: Held) -> None:
    assert compare_with_digest("tier", {"tier": shown}, FIELDS, lambda value: value == accepted) is held


@pytest.mark.parametrize(
    ("accepted", "shown", "held"),
    [
        ("2020-01-02", "2020-01-02T00:00:00.000Z", Held.EQUAL),
        ("2020-01-02T00:00:00Z", "2020-01-02", Held.EQUAL),
        ("2020-01-02", "2020-01-03", Held.DIFFERS),
        ("2020-01-02", ["2020-01-02"], Held.DIFFERS),
    ],
)
def test_a_shown_day_against_a_digest(accepted: str, shown: Any, held: Held) -> None:
    assert compare_with_digest("since", {"since": shown}, FIELDS, lambda value: value == accepted) is held


def test_a_shown_contact_against_a_row() -> None:
    compared = compare_with_row(
        {"_name": "Ana", "_points": 7, "tier": "gold"}, {"_name": "Bea", "_points": "7"}, FIELDS
    )
    assert compared == {"_name": Held.DIFFERS, "_points": Held.EQUAL, "tier": Held.MISSING}


def test_what_a_column_holds_under_a_name() -> None:
    column = b"".join(kept_marks(["_sms"]))
    assert value_digest(column, "_sms", Mark.KEPT) == bytes(8)
    assert value_digest(column, "_sms") is None
    assert value_digest(column, "_other", Mark.KEPT) is None


def test_a_mapping_is_proposed_by_id_name_and_likeness() -> None:
    definitions = [
        {"id": "tier_2", "name": "Nivel de fidelización", "type": "text", "custom": True},
        {"id": "_createdAt", "type": "date", "readOnly": True},
        {"id": "shoe_size", "type": "integer", "custom": True},
    ]
    columns = ["email", "first_name", "NIVEL_DE_FIDELIZACION", "shoesizes", "_createdAt", "shoe_size_2", "x"]
    proposal, left = proposed(columns, "email", definitions, "email")
    assert proposal == {"_name": "first_name", "tier_2": "NIVEL_DE_FIDELIZACION", "shoe_size": "shoesizes"}
    assert left == ["_createdAt", "shoe_size_2", "x"]


def test_a_column_that_stands_twice_is_not_proposed() -> None:
    definitions = [{"id": "visits", "type": "integer", "custom": True}]
    assert proposed(["email", "visits", "visits"], "email", definitions, "email") == ({}, ["visits"])


def test_a_property_that_is_named_twice_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    twice = '{"_name": "first_name", "_name": "nickname"}'
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["check", "--sql", "select 1", "--sql-conn-id", "source", "--properties", twice])
    assert end.value.code == 2
    assert "has the JSON key '_name' more than once" in capsys.readouterr().err


# A query with Jinja ran as it was: explain said that the source has no row of a contact that it has.
@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select * from contacts where updated_at >= '{{ ds }}'", "has Jinja"),
        ("select * from contacts {% if params.all %}\nwhere true {% endif %}", "has Jinja"),
        ("contacts.sql", "must be the query, not the name of a file"),
    ],
)
@pytest.mark.parametrize("name", ["check", "explain", "fields"])
def test_what_only_a_dag_renders_is_a_wrong_argument(
    name: str, sql: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    contact = ["ana@example.com"] if name == "explain" else []
    with pytest.raises(SystemExit) as end:
        parser().parse_args([name, *contact, "--sql", sql, "--sql-conn-id", "source"])
    assert end.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("sql", ["select '{{1,2},{3,4}}'::int[]", "select * from shop.sql", """select '{"a": {}}'"""])
def test_other_brackets_and_names_are_sql(sql: str) -> None:
    assert parser().parse_args(["fields", "--sql", sql, "--sql-conn-id", "source"]).sql == sql


def test_a_table_obeys_nothing_that_a_value_says(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"reason": "[bold]no[/] \x1b[2J", "at": datetime(2026, 1, 2, tzinfo=UTC), "yes": True, "none": None}]
    show("table", rows, [("Title", rows)])
    out = capsys.readouterr().out
    assert "[bold]no[/]" in out
    assert "\x1b" not in out
    show("json", rows, [])
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown == {"reason": "[bold]no[/] \x1b[2J", "at": "2026-01-02T00:00:00+00:00", "yes": True, "none": None}


@pytest.mark.parametrize("form", ["table", "plain"])
def test_values_are_shown_as_they_are(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where all of a column look like numbers, or a part of one like the name of an emoji."""
    texts = ["+34600111222", "41.3850639", "1234567", "0.5", "007", "1e5"]
    show(form, None, [("", [{"value": text} for text in texts]), ("", [{"run": "manual:100:night"}])])
    shown = capsys.readouterr().out
    assert [text for text in [*texts, "manual:100:night"] if text not in shown] == []


def test_a_mapping_that_is_nested_too_deeply_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    deep = '{"a":' * 100_000
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["check", "--sql", "select 1", "--sql-conn-id", "source", "--properties", deep])
    assert end.value.code == 2
    assert "must be a JSON object" in capsys.readouterr().err


def test_the_key_may_not_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["explain", "--sync-id", "x"])
    assert end.value.code == 2
    assert "KEY" in capsys.readouterr().err
