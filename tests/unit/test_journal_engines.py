"""Which servers can hold a journal by what they say of themselves, and the options that their drivers get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from airflow_provider_connectif.databases.drivers import DRIVERS
from airflow_provider_connectif.databases.engines import mysql_engine
from airflow_provider_connectif.databases.journals import engine_of_existing
from airflow_provider_connectif.journal.dialects import DIALECTS

REDSHIFT = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017, Redshift 1.0.12103"
SERVERS: dict[tuple[str, str], str] = {
    ("postgresql", "PostgreSQL 15.4 on x86_64-pc-linux-gnu, compiled by gcc"): "",
    ("postgresql", REDSHIFT): "Amazon Redshift",
    ("postgresql", "CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu)"): "another database",
    ("postgresql", "PostgreSQL 9.4.26 (Greenplum Database 6.25.3)"): "PostgreSQL 10 or newer",
    ("mysql", "8.4.2"): "",
    ("mysql", "10.11.19-MariaDB-0+deb12u1"): "",
    ("mariadb", "11.4.2-MariaDB"): "",
    ("mysql", "8.0.mysql_aurora.3.05.2"): "",
    ("mysql", "5.7.44-log"): "MySQL 8",
    ("mysql", "8.0.11-TiDB-v7.5.1"): "TiDB",
    ("sqlite", "anything"): "",
}


@pytest.mark.parametrize(("dialect", "version"), SERVERS)
def test_a_server_is_known_by_what_it_says(dialect: str, version: str) -> None:
    fault, words = DIALECTS[dialect].fault_of(version), SERVERS[dialect, version]
    assert (fault == "") is (words == "")
    assert words in fault


@pytest.mark.parametrize("driver", ["MySQLdb", "pymysql", "mysql"])
def test_unknown_options_of_mysql_are_left_out_and_named(driver: str) -> None:
    url = sa.make_url("mysql://u:p@h/db?charset=utf8mb4&unix_socket=/s&owner=crm&iam=True&cursor=dictcursor")
    options = DRIVERS[driver].journal_engine(url, {"charset": "utf8mb4", "owner": "crm"})
    assert dict(options.url.query) == {"charset": "utf8mb4", "unix_socket": "/s"}
    assert options.left_out == ("owner",)  # and not what is meant for Airflow's hook
    assert options.connect_args == {}


def test_encryption_that_is_given_as_an_object_goes_to_the_driver() -> None:
    ssl = {"ca": "/etc/ca.pem"}
    options = mysql_engine(sa.make_url("mysql://h/db?ssl=%7B%7D"), {"ssl": ssl})
    assert (options.connect_args, options.left_out) == ({"ssl": ssl}, ())
    assert "ssl" not in options.url.query


def test_psycopg_keeps_no_prepared_statements_unless_the_connection_says_so() -> None:
    engine, url = DRIVERS["psycopg"].journal_engine, sa.make_url("postgresql+psycopg://h/db")
    assert engine(url, {"sslmode": "require"}).connect_args == {"prepare_threshold": None, "sslmode": "require"}
    assert engine(url, {"prepare_threshold": 5}).connect_args == {"prepare_threshold": 5}


def test_letters_that_a_source_needs_are_not_the_journal_s() -> None:
    url = sa.make_url("mysql://h/db?charset=latin1&collation=latin1_bin&use_unicode=0")
    options = mysql_engine(url, {"charset": "latin1", "collation": "latin1_bin", "use_unicode": False})
    assert (dict(options.url.query), options.left_out) == ({"charset": "utf8mb4"}, ())


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "MySQLdb", "pymysql", "mysql"])
def test_a_transaction_sees_what_others_have_committed_whatever_the_server_s_default_is(driver: str) -> None:
    assert DRIVERS[driver].journal_engine(sa.make_url("any://h/db"), {}).isolation_level == "READ COMMITTED"


def test_a_statement_of_mysql_that_selects_its_lines_names_no_other_line() -> None:
    table = sa.Table("lines", sa.MetaData(), sa.Column("sync_id", sa.String(9)), sa.Column("generation", sa.Integer))
    statement = DIALECTS["mysql"].insert_or_set(
        table,
        lambda insert: insert.from_select(["sync_id", "generation"], sa.select(sa.literal("x"), sa.literal(1))),
        lambda new: {"generation": sa.case((table.c.generation <= new.generation, new.generation), else_=0)},
    )
    assert "inserted." not in str(statement.compile(dialect=mysql.dialect()))


def test_a_secret_in_the_address_is_no_warning(
    airflow_db: None, connection: Callable[..., None], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """A command's output would begin with it, since Airflow logs warnings to stdout."""
    extra = {"connectif_journal_secret": "pepper"}
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"), extra=extra)
    engine_of_existing("journal").dispose()
    assert [str(warning.message) for warning in recwarn if warning.category is sa.exc.SAWarning] == []
