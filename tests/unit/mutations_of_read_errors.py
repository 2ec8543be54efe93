# ruff: noqa: F821 - names are those of the modules that are mutated
"""The errors of a database while rows are read, as if none could quote a value or last for ever."""

from __future__ import annotations

from tests.support.mutations import Mutations

READ_ERRORS = Mutations()

_READ = "test_read_errors.py::"
_WAREHOUSES = "test_warehouse_errors.py::"
_SERVER_ONLY = _READ + "test_while_rows_are_fetched_only_what_the_server_says_of_itself_is_told"
_PARAMETERS = _READ + "test_the_values_of_parameters_are_not_quoted"


READ_ERRORS.value(
    "every message of a server with a state is its own", "databases.read_errors:is_of_the_server", "bool", _SERVER_ONLY
)
READ_ERRORS.value(
    "no message of a server is its own", "databases.read_errors:is_of_the_server", "lambda words: False", _SERVER_ONLY
)


@READ_ERRORS.instead_of("databases.error_rules:is_of_the_server", _SERVER_ONLY)
def a_sentence_of_the_server_may_go_on(original, words):
    return _OF_THE_SERVER.match(words) is not None


@READ_ERRORS.instead_of(
    "databases.read_errors:_concealed",
    _PARAMETERS,
    _READ + "test_a_literal_of_the_statement_is_not_quoted",
)
def a_message_is_shown_as_it_is(original, words, parameters):
    return words


@READ_ERRORS.instead_of("databases.read_errors:_concealed", _PARAMETERS)
def parameters_are_no_values(original, words, parameters):
    return original(words, None)


@READ_ERRORS.instead_of("databases.read_errors:_concealed", _PARAMETERS)
def parameters_by_name_are_no_values(original, words, parameters):
    return original(words, None if isinstance(parameters, dict) else parameters)


READ_ERRORS.value(
    "an open literal is no literal",
    "databases.read_errors:_LITERAL",
    're.compile("(?!)")',
    _READ + "test_a_literal_of_the_statement_is_not_quoted",
)


@READ_ERRORS.instead_of(
    "databases.read_errors:read_error",
    _SERVER_ONLY,
)
def rows_are_never_at_fault(original, error, conn_id, rows_read, *, is_fetching=False, parameters=None):
    return original(error, conn_id, rows_read, parameters=parameters)


READ_ERRORS.value(
    "no state is final",
    "databases.error_rules:WRONG_STATEMENT_STATES",
    "()",
    _READ + "test_postgresql_tells_by_its_sqlstate",
    _WAREHOUSES + "test_a_wrong_statement_is_final_and_explained",
)
READ_ERRORS.value(
    "every state is harmless",
    "databases.error_rules:_HARMLESS_STATES",
    '("",)',
    _READ + "test_what_postgresql_says_of_a_value_is_not_told",
)


@READ_ERRORS.instead_of(
    "databases.read_errors:_unwrapped", _READ + "test_what_sqlalchemy_has_wrapped_is_looked_at_itself"
)
def the_error_around_another_is_looked_at(original, error):
    return error


@READ_ERRORS.instead_of(
    "databases.read_errors:statement_error", _WAREHOUSES + "test_a_wrong_placeholder_is_final_and_named"
)
def parameters_always_match(original, error, conn_id, connection, parameters=None):
    return None


@READ_ERRORS.instead_of(
    "databases.read_errors:_raised_at", _WAREHOUSES + "test_an_error_of_no_driver_says_where_it_was_raised"
)
def where_an_error_was_raised_is_nothing_to_say(original, error):
    return ""
