"""The command ``fields``: shows the account's fields, and proposes a mapping for the columns of a query."""

from __future__ import annotations

import difflib
import json
import unicodedata
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from airflow_provider_connectif.cli.output import Section, show
from airflow_provider_connectif.cli.running import CommandFailed, WrongUse
from airflow_provider_connectif.contacts.fields import Field, FieldTable
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.hooks.connection_lookup import connection_named_by

_NEAR = 0.8
_SYNONYMS = {
    "firstname": "_name",
    "lastname": "_surname",
    "familyname": "_surname",
    "birthday": "_birthdate",
    "dateofbirth": "_birthdate",
    "mobile": "_mobilePhone",
    "phone": "_mobilePhone",
    "newsletter": "_newsletterSubscriptionStatus",
    "emailstatus": "_emailStatus",
}


def show_fields(arguments: Namespace) -> None:
    """List the fields of the account; with ``--sql``, propose ``properties`` for the columns of the query."""
    if (arguments.sql is None) != (arguments.sql_conn_id is None):
        raise WrongUse("--sql and --sql-conn-id belong together")
    definitions = account_fields(arguments.connectif_conn_id)
    rows = [_described(definition) for definition in definitions]
    if arguments.sql is None:
        show(arguments.output, rows, [("", rows)])
        return
    from airflow_provider_connectif.cli.checking import columns_of_query

    columns = columns_of_query(arguments.sql, arguments.sql_conn_id)
    key_column = _key_column(columns, arguments.key_column or arguments.key)
    if columns.count(key_column) != 1:
        fault = f"the query has no column {key_column!r} for the contact key: name one with --key-column"
        if key_column in columns:
            fault = (
                f"the query has several columns {key_column!r} for the contact key: "
                "keep one of them, or name another column with --key-column"
            )
        raise CommandFailed(fault)
    proposal, left = proposed(columns, key_column, definitions, arguments.key)
    sections: list[Section] = [("", rows), ("Proposal; check it before you use it", _as_code(key_column, proposal))]
    if left:
        sections.append(("Columns left out", ", ".join(left)))
    data = {"key_column": key_column, "properties": proposal, "columns_without_field": left}
    show(arguments.output, {"fields": rows, "proposal": data}, sections)


def account_fields(conn_id: str) -> Sequence[Mapping[str, Any]]:
    """Return the account's field definitions as Connectif sent them."""
    with connection_named_by("--connectif-conn-id", conn_id):
        client = ConnectifHook(conn_id).get_conn(connections=1)
    with closing(client):
        return client.list_contact_fields()


def read_fields(definitions: Sequence[Mapping[str, Any]]) -> list[Field]:
    """Return the fields that field definitions describe.

    :param definitions: as Connectif sent them.
    :raises CommandFailed: a definition cannot be read, for example because it has no id or no type.
    """
    try:
        return [Field.from_api(definition) for definition in definitions]
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        raise CommandFailed("Connectif's response has a field definition that cannot be read") from None


def proposed(
    columns: Sequence[str], key_column: str, definitions: Sequence[Mapping[str, Any]], key: Any
) -> tuple[dict[str, str], list[str]]:
    """Propose a mapping for the columns of a query.

    A field is proposed for a column if the column's name equals or resembles the field's id, its name or a synonym.
    Only letters and digits are compared, without case and accents.

    :param columns: the columns of the query's result.
    :param key_column: the column of the contact key; it is not in the mapping.
    :param definitions: the account's field definitions, as Connectif sent them.
    :param key: the kind of contact key, which decides which fields can be written.
    :return: the mapping from property id to column, and the columns that are left out. A column is left out if it has
        no field, if another column has its field, or if the query has its name more than once.
    """
    table = FieldTable(key, read_fields(definitions))
    ids = [name for name in table.ids if table.fault(name) is None]
    labels = {_plain(str(entry.get("name") or "")): str(entry.get("id")) for entry in definitions}
    by_name = {name: label for name, label in labels.items() if name and label in ids}
    by_name |= {name: field for name, field in _SYNONYMS.items() if field in ids}
    by_name |= {_plain(name): name for name in ids}
    proposal: dict[str, str] = {}
    left: list[str] = []
    # A run refuses a mapping with a column name that the result has more than once.
    twice = list(dict.fromkeys(column for column in columns if columns.count(column) > 1))
    wanted = [column for column in columns if column != key_column and column not in twice]
    exact = {column: by_name.get(_plain(column)) for column in wanted}
    for column in wanted:
        found = column if column in ids else exact[column]
        if found is None:
            near = difflib.get_close_matches(_plain(column), by_name, n=1, cutoff=_NEAR)
            found = by_name[near[0]] if near and by_name[near[0]] not in exact.values() else None
        if found is None or found in proposal:
            left.append(column)
        else:
            proposal[found] = column
    return proposal, left + [column for column in twice if column != key_column]


def _described(definition: Mapping[str, Any]) -> dict[str, Any]:
    (field,) = read_fields([definition])
    limits = {
        "characters": field.max_length,
        "from": field.min_value if field.min_value is not None else field.min_date,
        "to": field.max_value if field.max_value is not None else field.max_date,
        "country code": field.calling_code,
    }
    return {
        "id": field.id,
        "name": definition.get("name"),
        "type": field.type,
        "custom": field.custom,
        "read_only": field.read_only,
        "required": field.required,
        "limits": ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None),
        "options": [option for option, _ in field.options],
    }


def _key_column(columns: Sequence[str], wanted: str) -> str:
    """Return the column of the key as the query spells it; if the query does not have the column, ``wanted``."""
    if wanted in columns:
        return wanted
    return next((column for column in columns if column.lower() == wanted.lower()), wanted)


def _as_code(key_column: str, proposal: Mapping[str, str]) -> str:
    lines = [f"    {json.dumps(name)}: {json.dumps(column)}," for name, column in proposal.items()]
    return "\n".join([f"key_column={json.dumps(key_column)},", "properties={", *lines, "},"])


def _plain(name: str) -> str:
    """Return the letters and digits of a name, without case and accents."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(character for character in decomposed if character.isalnum())
