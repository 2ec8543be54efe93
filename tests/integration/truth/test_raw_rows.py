"""Rows of PostgreSQL that stay texts until somebody looks at them: they are the rows that the driver hands over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.databases.sql_source import SqlSource
from airflow_provider_connectif.journal.digests import RowDigester, digest_salt
from airflow_provider_connectif.records.raw_rows import RawBatch
from airflow_provider_connectif.records.rows import RowBatch
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

EXPRESSIONS = [
    *("null", "true", "7::int2", "7", "7::int8", "7::oid", "1.50::numeric", "'NaN'::numeric", "'Infinity'::float8"),
    *("'NaN'::float8", "0.1::float8", "'añ\u2028o\\'", "''", "'x'::bpchar(3)", "'x'::\"char\"", "'\\xff00'::bytea"),
    *("date '2026-01-02'", "timestamp '2026-01-02 03:04:05.06'", "timestamptz '2026-07-01 00:00:00.5+02'"),
    *("time '03:04'", "timetz '03:04+02'", "interval '1 year -2 days 03:04'", "'{\"a\": [1, null]}'::json"),
    *("'{\"b\": 1.5}'::jsonb", "gen_random_uuid()", "array[1, null, 3]", "array['a,\"b', null]", "'{{1},{2}}'::int[]"),
    *("array[timestamptz '2026-01-01']", "'{}'::date[]", "array['{}'::jsonb]", "daterange('2026-01-01', null)"),
    *("tstzrange('2026-01-01', '2026-02-01')", "'empty'::int4range", "'{[1,3)}'::int4multirange", "'sad'::mood"),
    *("array['sad']::mood[]", "row(1, 'a')", "inet '10.0.0.1/8'", "money '1.50'", "point '(1,2)'"),
]


@pytest.fixture
def server(postgres: Any) -> Any:
    postgres.execute("drop type if exists mood; create type mood as enum ('sad', 'ok')")
    return postgres


def batches(sql: str, connect: Callable[[], Any] | None = None) -> Iterator[Any]:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    hook = PostgresHook("postgres")
    if connect is not None:
        hook.get_conn = connect
    return (batch for batch in SqlSource(hook, "postgres", sql) if len(batch))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid"])
def test_every_type_is_the_value_that_the_driver_hands_over(server: Any, zone: str) -> None:
    server.execute(f"alter database postgres set timezone = '{zone}'")
    try:
        server.execute(
            "create table every as select 'a@example.com' as email, "
            + ", ".join(
                f"{expression} as c{n}" for n, expression in enumerate(EXPRESSIONS) if expression != "row(1, 'a')"
            )
        )
        (batch,) = batches("select *, row(1, 'a') as c99 from every")
        # The connection is closed by now, and rows are converted all the same.
        assert isinstance(batch, RawBatch)
        with psycopg.connect(server.info.dsn) as plain:
            cursor = plain.execute("select *, row(1, 'a') as c99 from every")
            names = [column.name for column in cursor.description or ()]
            (expected,) = cursor.fetchall()
        assert repr(dict(batch[0])) == repr(dict(zip(names, expected, strict=True)))
        assert batch.values_at(0) == ["a@example.com"]
    finally:
        server.execute("alter database postgres reset timezone")


def test_a_bad_value_leaves_the_others_of_its_row(server: Any) -> None:
    (batch,) = batches("select 'a@example.com' as email, 7 as n, array['infinity'::date] as days, 0.1::float4 as f")
    row = dict(batch[0])
    assert (row["email"], row["n"], row["f"], str(row["days"])) == ("a@example.com", 7, 0.1, "{infinity}")
    assert row["days"].rule.startswith("cannot be read as a date array (")


def test_what_an_author_has_registered_converts_and_its_values_are_compared(server: Any) -> None:
    from psycopg.adapt import Loader

    class Shouting(Loader):
        def load(self, data: Any) -> str:
            return bytes(data).decode().upper()

    def connect() -> Any:
        connection = psycopg.connect(server.info.dsn)
        connection.adapters.register_loader("varchar", Shouting)
        return connection

    sql = "select 'a@example.com' as email, 'ana'::varchar as name"
    (batch,) = batches(sql, connect)
    assert dict(batch[0]) == {"email": "a@example.com", "name": "ANA"}
    digester = RowDigester(ContactMapping(properties={"_name": "name"}))
    assert digester.of_batch(batch) == [digester({"email": "a@example.com", "name": "ANA"})]
    (as_usual,) = batches(sql)
    assert digester.of_batch(as_usual) != [digester(as_usual[0])]


def test_a_connection_that_makes_its_own_rows_is_left_to_it(server: Any) -> None:
    def shortened(cursor: Any) -> Callable[[Any], dict[str, Any]]:
        names = [column.name.removeprefix("x_") for column in cursor.description or ()]
        return lambda values: dict(zip(names, values, strict=True))

    def connect() -> Any:
        return psycopg.connect(server.info.dsn, row_factory=shortened)

    (batch,) = batches("select 'a@example.com' as x_email", connect)
    assert list(batch) == [{"email": "a@example.com"}]


NIGHTLY: dict[str, Any] = {
    "sql": "select * from contacts order by email",
    "sql_conn_id": "postgres",
    "journal_conn_id": "postgres",
    "sync_id": "nightly",
    "properties": {"_name": "name", "_birthdate": "born"},
}


def run(night: int = 1, **arguments: Any) -> Run:
    context = {"run_id": f"night {night}", "dag": SimpleNamespace(dag_id="dag")}
    return run_operator(context=context, **(NIGHTLY | arguments))


def as_an_earlier_version_wrote_it(server: Any, strict: StrictServer, form: str) -> dict[str, str]:
    """Give the lines of the journal the digests of an earlier version; those that they had, by contact.

    :param form: ``values`` or ``texts``.
    """
    digester = RowDigester(ContactMapping(properties=NIGHTLY["properties"]), digest_salt(strict.connection()["host"]))
    (batch,) = batches(NIGHTLY["sql"])
    written = {}
    for row, new in zip(batch, digester.of_batch(batch), strict=True):
        for column in ("row_digest", "refused_digest", "invalid_digest"):
            found = server.execute(
                f"update connectif_journal set {column} = %s where contact_key = %s and {column} = %s returning 1",
                (digester(row) if form == "values" else digester.former_of_texts(row), row["email"], new),
            ).fetchall()
            if found:
                written[row["email"]] = new
    return written


@pytest.mark.slow
@pytest.mark.parametrize("form", ["values", "texts"])
def test_digests_of_an_earlier_version_are_recognised_and_nothing_is_sent(
    form: str, server: Any, strict: StrictServer
) -> None:
    server.execute("create table contacts (email text, name text, born date)")
    server.execute("""insert into contacts values ('a@example.com', 'Ana', '1990-01-02'), ('b@example.com', null, null),
                      ('c@example.com', '', '1991-01-02'), ('invalid@example.com', 'Eve', '12345-06-07'),
                      ('refused@example.com', 'Dan', '1992-01-02')""")
    strict.update(faults=[{"keys": ["refused@example.com"], "status": 422}])
    first = run(failure_budget=2)
    assert (first.summary["created"], first.summary["invalid"], first.summary["rejected"]) == (3, 1, 1)
    digests = as_an_earlier_version_wrote_it(server, strict, form)
    assert len(digests) == 5

    received = strict.received
    second = run(2, failure_budget=2)
    counts = {name: second.summary[name] for name in ("unchanged", "invalid", "held", "new_refusals")}
    assert counts == {"unchanged": 3, "invalid": 1, "held": 1, "new_refusals": 0}
    assert strict.received == received
    # From now on a glance is enough for what is acknowledged.
    now = dict(server.execute("select contact_key, row_digest from connectif_journal where state = 'acknowledged'"))
    assert now == {key: digests[key] for key in now}
    assert len(now) == 3

    server.execute("update contacts set name = 'Dora', born = '1992-01-02' where email ~ '^(a|invalid|refused)@'")
    strict.update(faults=[])
    third = run(3)
    assert (third.summary["unchanged"], third.summary["held"], strict.received - received) == (2, 0, 3)


@pytest.mark.sampled(1)
def test_values_and_texts_give_one_patch(driver: str, server: Any, strict: StrictServer) -> None:
    server.execute("create table contacts as select 'a@example.com' as email, 'Ana' as name, date '1990-01-02' as born")
    assert run().summary["created"] == 1
    digests = server.execute("select patch_digest from connectif_journal").fetchall()
    mapping = ContactMapping(properties=NIGHTLY["properties"])
    (batch,) = batches(NIGHTLY["sql"])
    assert isinstance(batch, RawBatch if driver == "psycopg" else RowBatch)
    assert json.dumps(mapping.patch(1, batch[0]).properties) == '{"_name": "Ana", "_birthdate": "1990-01-02"}'
    # The other driver's night: another digest of the row, and the same patch.
    server.execute("update connectif_journal set row_digest = 'of the other driver'")
    received = strict.received
    assert run(2).summary["unchanged"] == 1
    assert strict.received == received
    assert server.execute("select patch_digest from connectif_journal").fetchall() == digests


@pytest.mark.slow
def test_several_invalid_rows_of_a_contact_are_known_by_their_texts_and_by_their_values(
    server: Any, strict: StrictServer
) -> None:
    server.execute("create table contacts (email text, name text, born date)")
    server.execute("""insert into contacts values ('a@example.com', 'Ana', '1990-01-02'),
                      ('invalid@example.com', 'Eve', '12345-06-07'), ('invalid@example.com', 'Eve', '12345-06-08')""")
    run(failure_budget=2)
    assert run(2, failure_budget=2).summary["new_refusals"] == 0
    # A source that yields values, such as one of an earlier version, has written the line.
    digester = RowDigester(ContactMapping(properties=NIGHTLY["properties"]), digest_salt(strict.connection()["host"]))
    (batch,) = batches(NIGHTLY["sql"])
    of_values = [digester(row)[:6] for row in batch if row["email"] == "invalid@example.com"]
    server.execute(
        "update connectif_journal set invalid_digest = %s where state = 'invalid'", ("~2" + "".join(of_values),)
    )
    third = run(3, failure_budget=2)
    assert (third.summary["invalid"], third.summary["new_refusals"]) == (2, 0)
