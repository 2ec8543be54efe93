"""Errors as the drivers of warehouses raise them: recorded from the drivers, which need not be installed here.

`make test-warehouses` provokes the same with the drivers themselves.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_connectif.databases.drivers import DRIVERS, driver_of
from airflow_provider_connectif.databases.read_errors import fetch_error, read_error, statement_error

VALUE = "ana@example.com"


def raised(path: str, *arguments: Any, words: str | None = None, **attributes: Any) -> Exception:
    """An error of a driver's class, by module and name."""
    module, _, name = path.rpartition(".")
    base = type("Error", (Exception,), {"__module__": module})
    kind = type(name, (base,), {"__module__": module, "__str__": lambda self: words or Exception.__str__(self)})
    error = kind(*arguments)
    vars(error).update(attributes)
    return error


def trino(name: str, message: str) -> Exception:
    return raised(
        "trino.exceptions.TrinoUserError", error_name=name, message=message, words=f'TrinoUserError("{message}")'
    )


def redshift(state: str, message: str) -> Exception:
    return raised("redshift_connector.error.ProgrammingError", {"S": "ERROR", "C": state, "M": message})


def snowflake(number: int, state: str, message: str) -> Exception:
    words = f"{number:06d} ({state}): {message}"
    return raised("snowflake.connector.errors.ProgrammingError", words, errno=number, sqlstate=state)


def bigquery(message: str) -> Exception:
    words = f"400 POST https://bigquery.googleapis.com/x: {message}; reason: invalidQuery, message: {message}"
    return raised("google.cloud.bigquery.dbapi.exceptions.DatabaseError", words)


def duckdb(kind: str, message: str) -> Exception:
    return raised(f"_duckdb.{kind}", message)


WRONG = {
    "duckdb, syntax": (duckdb("ParserException", 'Parser Error: syntax error at or near "selekt"'), "syntax error"),
    "duckdb, table": (duckdb("CatalogException", "Catalog Error: Table with name nothing does not exist!"), "nothing"),
    "duckdb, column": (duckdb("BinderException", 'Binder Error: Referenced column "x" not found'), '"x" not found'),
    "trino, syntax": (trino("SYNTAX_ERROR", "line 1:1: mismatched input 'selekt'"), "mismatched input"),
    "trino, table": (trino("TABLE_NOT_FOUND", "line 1:15: Table 'a.b.nothing' does not exist"), "a.b.nothing"),
    "redshift, syntax": (redshift("42601", 'syntax error at or near "selekt"'), "(SQLSTATE 42601): syntax error"),
    "redshift, table": (redshift("42P01", 'relation "nothing" does not exist'), '"nothing" does not exist'),
    "snowflake, syntax": (snowflake(1003, "42000", "SQL compilation error:\nsyntax error line 1"), "syntax error"),
    "snowflake, several": (snowflake(8, "0A000", "Actual statement count 2 did not match 1"), "statement count 2"),
    "redshift, database": (redshift("0A000", "cross-database references are not implemented"), "cross-database"),
    "snowflake, table": (snowflake(2003, "02000", "Object 'NOTHING' does not exist or not authorized."), "'NOTHING'"),
    "bigquery, syntax": (bigquery('Syntax error: Unexpected identifier "selekt" at [1:1]'), "Syntax error: Unexpected"),
    "bigquery, table": (bigquery("Not found: Table a:b.nothing was not found in location EU"), "a:b.nothing"),
    "bigquery, column": (bigquery("Unrecognized name: nothing at [1:8]"), "Unrecognized name: nothing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_statement_is_final_and_explained(case: str) -> None:
    error, words = WRONG[case]
    fault = read_error(error, "warehouse", 0)
    assert fault.final
    assert words in str(fault)
    # While rows are fetched, the statement was accepted, and words may quote a row.
    later = fetch_error(error, "warehouse", 0, 0, 50)
    assert not later.final
    assert words not in str(later)


OF_A_ROW = {
    "duckdb": duckdb("InvalidInputException", f"Invalid Input Error: {VALUE}"),
    "duckdb, conversion": duckdb("ConversionException", f"Conversion Error: Could not convert string '{VALUE}'"),
    "trino": trino("INVALID_CAST_ARGUMENT", f"Cannot cast '{VALUE}' to INT"),
    "redshift": redshift("22P02", f'invalid input syntax for type integer: "{VALUE}"'),
    "snowflake": snowflake(100038, "22018", f"Numeric value '{VALUE}' is not recognized"),
    "bigquery": bigquery(f"Bad int64 value: {VALUE}"),
    # What a value says is no sign of a wrong statement.
    "bigquery, words": bigquery(f"Bad int64 value: Syntax error: Access Denied: {VALUE}"),
    "trino, words": trino("INVALID_CAST_ARGUMENT", f"Cannot cast 'Incorrect number of parameters {VALUE}' to INT"),
    "duckdb, words": duckdb(
        "InvalidInputException", f"Invalid Input Error: x Parameter argument/count mismatch {VALUE}"
    ),
    "bigquery, raw": raised("google.api_core.exceptions.BadRequest", f"Bad int64 value: {VALUE}"),
    "requests": raised("requests.exceptions.ChunkedEncodingError", f"broken at {VALUE}"),
    "no error of a database": KeyError(VALUE),
    "of a pool": RuntimeError(VALUE),
}


@pytest.mark.parametrize("case", OF_A_ROW)
def test_an_error_that_may_quote_a_row_shows_its_class_only_and_is_retried(case: str) -> None:
    error = OF_A_ROW[case]
    for fault in (read_error(error, "warehouse", 7), fetch_error(error, "warehouse", 7, 7, 50)):
        assert VALUE not in str(fault)
        assert type(error).__name__ in str(fault)
        assert not fault.final


@pytest.mark.parametrize("case", [case for case in OF_A_ROW if case.endswith(", words")])
def test_what_a_value_says_is_no_fault_of_the_parameters(case: str) -> None:
    assert statement_error(OF_A_ROW[case], "warehouse", Connection.of("any")) is None


def test_an_error_of_no_driver_says_where_it_was_raised() -> None:
    try:
        {}[VALUE]
    except KeyError as error:
        words = str(read_error(error, "warehouse", 1))
    assert words.startswith("reading from 'warehouse' failed after 1 row: KeyError, in ")
    assert "test_warehouse_errors.py" in words


class Connection:
    """Of a driver, by the module of its class."""

    @classmethod
    def of(cls, module: str) -> Connection:
        return type("Connection", (cls,), {"__module__": module})()


PARAMETERS = {
    "duckdb": duckdb("InvalidInputException", "Invalid Input Error: Values were not provided for the following: 1"),
    "trino": trino("INVALID_PARAMETER_USAGE", "line 1:1: Incorrect number of parameters: expected 1 but found 2"),
    "trino.dbapi": AssertionError("params must be a list or tuple"),
    "redshift_connector": redshift("08P01", "bind message supplies 1 parameters, but prepared statement requires 2"),
    "snowflake.connector": TypeError("not all arguments converted during string formatting"),
    "google.cloud.bigquery.dbapi": raised("google.cloud.bigquery.dbapi.exceptions.ProgrammingError", "no such"),
    "google": bigquery("Query parameter 'least' not found at [1:40]"),
}


UNBINDABLE = {
    "duckdb": duckdb("NotImplementedException", "Not implemented Error: Unable to transform python value of type 'X'"),
    "snowflake.connector": snowflake(255001, "n/a", "Binding data in type (object) is not supported."),
    "google": bigquery("Positional parameters are not supported"),
}


@pytest.mark.parametrize("module", UNBINDABLE)
def test_a_parameter_that_cannot_be_bound_is_final(module: str) -> None:
    fault = statement_error(UNBINDABLE[module], "warehouse", Connection.of(module))
    assert fault is not None
    assert fault.final


def test_the_placeholders_are_those_of_the_driver_whose_connection_ours_extends() -> None:
    extended = Connection.of("sqlite3")
    ours = type("Connection", (type(extended),), {"__module__": __name__})()
    assert "takes ? as placeholders" in str(statement_error(TypeError(), "warehouse", ours))


@pytest.mark.parametrize("module", PARAMETERS)
def test_a_wrong_placeholder_is_final_and_named(module: str) -> None:
    fault = statement_error(PARAMETERS[module], "warehouse", Connection.of(module))
    assert fault is not None
    assert fault.final
    assert "sql and parameters do not match each other on 'warehouse'" in str(fault)
    assert f"{module.partition('.')[0]} takes" in str(fault)


def test_a_response_that_is_no_json_is_no_fault_of_the_parameters() -> None:
    class NoJson(OSError, ValueError):
        """As requests raises it."""

    assert statement_error(NoJson(), "warehouse", Connection.of("trino")) is None


def test_each_warehouse_has_its_entry() -> None:
    for module in ("_duckdb", "trino.dbapi", "snowflake.connector", "redshift_connector.core", "google.cloud.bigquery"):
        assert driver_of(Connection.of(module)) is DRIVERS[module.partition(".")[0].lstrip("_")]
