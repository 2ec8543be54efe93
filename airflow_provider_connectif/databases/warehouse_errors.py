"""Rules for the errors of warehouses' drivers, in the form of ``error_rules``."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_connectif.databases.error_rules import (
    LIBPQ_SETTING,
    NO_SETTING,
    WRONG_STATEMENT_STATES,
    ErrorRules,
    first_line,
    has_harmless_state,
    kind_of,
)

# DuckDB parses and binds a statement before it reads a row.
_WRONG_IN_DUCKDB = ("ParserException", "SyntaxException", "CatalogException", "BinderException")
_DUCKDB_PARAMETERS = re.compile(
    r"^([\w ]+: )?(Values were not provided for the following|Parameter argument/count mismatch|"
    r"Unable to transform python value)"
)

# Trino's StandardErrorCode, of type USER_ERROR: errors that its analysis of a statement reports.
# fmt: off
_WRONG_IN_TRINO = frozenset(
    (
        "AMBIGUOUS_FUNCTION_CALL", "AMBIGUOUS_NAME", "CATALOG_NOT_FOUND", "COLUMN_ALIAS_DUPLICATED",
        "COLUMN_NOT_FOUND", "COLUMN_TYPE_UNKNOWN", "DUPLICATE_COLUMN_NAME", "DUPLICATE_NAMED_QUERY",
        "EXPRESSION_NOT_AGGREGATE", "EXPRESSION_NOT_IN_DISTINCT", "EXPRESSION_NOT_SCALAR",
        "FUNCTION_NOT_AGGREGATE", "FUNCTION_NOT_FOUND", "FUNCTION_NOT_WINDOW", "INVALID_CATALOG_PROPERTY",
        "INVALID_COLUMN_REFERENCE", "INVALID_LITERAL", "INVALID_PARAMETER_USAGE", "INVALID_VIEW",
        "MISMATCHED_COLUMN_ALIASES", "MISSING_CATALOG_NAME", "MISSING_COLUMN_NAME", "MISSING_GROUP_BY",
        "MISSING_ORDER_BY", "MISSING_OVER", "MISSING_SCHEMA_NAME", "NESTED_AGGREGATION", "NESTED_WINDOW",
        "NOT_FOUND", "PERMISSION_DENIED", "SCHEMA_NOT_FOUND", "SYNTAX_ERROR", "TABLE_NOT_FOUND",
        "TYPE_MISMATCH", "TYPE_NOT_FOUND", "VIEW_IS_STALE",
    )
)
# fmt: on
_TRINO_PARAMETERS = re.compile(r"^(line \d+:\d+: )?Incorrect number of parameters")

# Snowflake's numbers of a statement that does not compile: syntax; invalid identifier; no such object, or no right to
# it (twice); wrong arguments of a function; no such function.
_WRONG_IN_SNOWFLAKE = (1003, 904, 2003, 2043, 1044, 2140)
# The numbers of the connector's own errors about parameters: it cannot format or bind them, or does not know their type
# (twice).
_SNOWFLAKE_PARAMETERS = (252004, 252012, 252011, 255001)
_NO_STATE = "n/a"

# BigQuery gives the same reason for a wrong statement and for a wrong value, so the words of the message decide. They
# must be at its beginning: a value that it quotes may contain any words.
_BEFORE_WORDS = r"^(\d{3} )?((GET|POST) \S+: )?(Query error: )?"
_WRONG_IN_BIGQUERY = re.compile(
    _BEFORE_WORDS
    + r"(?P<words>Syntax error: |Unrecognized name: |Not found: (Table|Dataset|Project|View|Connection)\b|"
    r"Table-valued function not |"
    r"(Table|Function|Type|Dataset) \S+ (not found|must be qualified)|Function not found: |Type not found: |"
    r"Name \S+ (not found|is ambiguous)|Column name \S+ is ambiguous|No matching signature for |"
    r"SELECT list expression references |Duplicate column names in the result|Access Denied: |"
    r"Query parameter '?\w+'? not found|Positional parameters are not supported|"
    r"(User does not have|Permission) [\w. ]*(permission|denied))"
)
_BIGQUERY_PARAMETERS = re.compile(
    _BEFORE_WORDS + r"(Query parameter '?\w+'? not found|Positional parameters|Encountered parameter )"
)


def _words_in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _no_code(_: BaseException) -> str:
    return ""


def _is_wrong_in_duckdb(error: BaseException) -> bool:
    return kind_of(error) in _WRONG_IN_DUCKDB


def _is_about_parameters_of_duckdb(error: BaseException) -> bool:
    is_of_binding = kind_of(error) in ("InvalidInputException", "NotImplementedException")
    return is_of_binding and _DUCKDB_PARAMETERS.search(str(error)) is not None


def _may_show_duckdb(error: BaseException) -> bool:
    return _is_wrong_in_duckdb(error) or _is_about_parameters_of_duckdb(error)


def _name_of_trino(error: BaseException) -> str:
    return str(getattr(error, "error_name", None) or "")


def _code_of_trino(error: BaseException) -> str:
    name = _name_of_trino(error)
    return f" ({name})" if name else ""


def _words_of_trino(error: BaseException) -> str:
    return first_line(getattr(error, "message", error))


def _is_wrong_in_trino(error: BaseException) -> bool:
    return _name_of_trino(error) in _WRONG_IN_TRINO and not _is_about_parameters_of_trino(error)


def _is_about_parameters_of_trino(error: BaseException) -> bool:
    return _TRINO_PARAMETERS.search(_words_of_trino(error)) is not None or (
        # The driver's own error for a value that it cannot write into a statement.
        kind_of(error) == "NotSupportedError" and not _name_of_trino(error)
    )


def _may_show_trino(error: BaseException) -> bool:
    return _name_of_trino(error) in _WRONG_IN_TRINO


def _field_of_redshift(error: BaseException, field: str) -> str:
    """Return a field of the server's message; empty if the error is the driver's own."""
    fields: Any = error.args[0] if error.args else None
    return str(fields.get(field, "")) if isinstance(fields, dict) else ""


def _state_of_redshift(error: BaseException) -> str:
    return _field_of_redshift(error, "C")


def _code_of_redshift(error: BaseException) -> str:
    state = _state_of_redshift(error)
    return f" (SQLSTATE {state})" if state else ""


def _words_of_redshift(error: BaseException) -> str:
    return first_line(_field_of_redshift(error, "M") or error)


def _is_wrong_in_redshift(error: BaseException) -> bool:
    return _state_of_redshift(error).startswith(WRONG_STATEMENT_STATES)


def _is_about_parameters_of_redshift(error: BaseException) -> bool:
    if _state_of_redshift(error):
        return "bind message supplies" in _words_of_redshift(error)
    return kind_of(error) in ("ProgrammingError", "NotSupportedError") or "supported in the query" in str(error)


def _may_show_redshift(error: BaseException) -> bool:
    return has_harmless_state(_state_of_redshift(error))


def _state_of_snowflake(error: BaseException) -> str:
    state = str(getattr(error, "sqlstate", None) or "")
    return "" if state == _NO_STATE else state


def _number_of_snowflake(error: BaseException) -> int:
    number = getattr(error, "errno", None)
    return number if isinstance(number, int) and number > 0 else 0


def _code_of_snowflake(error: BaseException) -> str:
    number, state = _number_of_snowflake(error), _state_of_snowflake(error)
    return (f" (SQLSTATE {state})" if state else "") + (f" ({number})" if number else "")


def _is_wrong_in_snowflake(error: BaseException) -> bool:
    return (
        _state_of_snowflake(error).startswith(WRONG_STATEMENT_STATES)
        or _number_of_snowflake(error) in _WRONG_IN_SNOWFLAKE
    )


def _is_about_parameters_of_snowflake(error: BaseException) -> bool:
    number = _number_of_snowflake(error)
    is_unnumbered = not number and not _state_of_snowflake(error)
    return kind_of(error) == "ProgrammingError" and (is_unnumbered or number in _SNOWFLAKE_PARAMETERS)


def _words_of_bigquery(error: BaseException) -> str:
    # "400 POST https://...: words; reason: invalidQuery, location: query, message: words", then the job's id.
    text = _words_in_one_line(error)
    found = _WRONG_IN_BIGQUERY.search(text)
    return text if found is None else re.split(r"; reason: | Location: | Job ID: ", text[found.start("words") :])[0]


def _is_wrong_in_bigquery(error: BaseException) -> bool:
    return _WRONG_IN_BIGQUERY.search(str(error)) is not None and not _is_about_parameters_of_bigquery(error)


def _is_about_parameters_of_bigquery(error: BaseException) -> bool:
    return _BIGQUERY_PARAMETERS.search(str(error)) is not None or kind_of(error) == "ProgrammingError"


def _may_show_bigquery(error: BaseException) -> bool:
    return _WRONG_IN_BIGQUERY.search(str(error)) is not None


DUCKDB_ERRORS = ErrorRules(
    code=_no_code,
    words=first_line,
    is_statement_wrong=_is_wrong_in_duckdb,
    is_about_parameters=_is_about_parameters_of_duckdb,
    may_be_shown=_may_show_duckdb,
    wrong_setting=NO_SETTING,
)
TRINO_ERRORS = ErrorRules(
    code=_code_of_trino,
    words=_words_of_trino,
    is_statement_wrong=_is_wrong_in_trino,
    is_about_parameters=_is_about_parameters_of_trino,
    may_be_shown=_may_show_trino,
    wrong_setting=NO_SETTING,
)
REDSHIFT_ERRORS = ErrorRules(
    code=_code_of_redshift,
    words=_words_of_redshift,
    is_statement_wrong=_is_wrong_in_redshift,
    is_about_parameters=_is_about_parameters_of_redshift,
    may_be_shown=_may_show_redshift,
    wrong_setting=LIBPQ_SETTING,
)
SNOWFLAKE_ERRORS = ErrorRules(
    code=_code_of_snowflake,
    words=_words_in_one_line,
    is_statement_wrong=_is_wrong_in_snowflake,
    is_about_parameters=_is_about_parameters_of_snowflake,
    may_be_shown=_is_wrong_in_snowflake,
    wrong_setting=NO_SETTING,
)
BIGQUERY_ERRORS = ErrorRules(
    code=_no_code,
    words=_words_of_bigquery,
    is_statement_wrong=_is_wrong_in_bigquery,
    is_about_parameters=_is_about_parameters_of_bigquery,
    may_be_shown=_may_show_bigquery,
    wrong_setting=NO_SETTING,
)
