"""Columns of each database, the field that they are for, and what is sent: as docs/field-types.md says."""

from __future__ import annotations

from collections.abc import Mapping

from tests.warehouses.trino_server import of
from tests.warehouses.warehouse import CHECKBOX, Refused, Type

DAY, MOMENT, MIDNIGHT = "2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02T00:00:00Z"
NO_MIDNIGHT = Refused("a moment other than midnight")
NO_TEXT = Refused("must be text or a number")
NO_DATE = Refused("must be a date")
OBJECT = '{"k": 1}'

POSTGRESQL: Mapping[str, Type] = {
    "c_text": ("'Ana'::varchar", "text", "Ana"),
    "c_char": ("'Ana'::char(6)", "text", "Ana"),
    "c_int": ("7::bigint", "integer", 7),
    "c_numeric": ("1.50::numeric(10, 2)", "decimal", 1.5),
    "c_real": ("1.1::real", "decimal", 1.1),
    "c_bool": ("true", "boolean", True),
    "c_date": ("date '2026-01-02'", "date", DAY),
    "c_timestamp": ("timestamp '2026-01-02 03:04:05'", "date", MOMENT),
    "c_moment": ("timestamptz '2026-01-02 03:04:05+00'", "date", NO_MIDNIGHT),
    "c_array": ("array['a', 'b']", CHECKBOX, ["a", "b"]),
    "c_jsonb": ("jsonb_build_object('k', 1)", "text", OBJECT),
    "c_json_array": ("""'["a", "b"]'::jsonb""", CHECKBOX, ["a", "b"]),
    "c_uuid": ("'123e4567-e89b-12d3-a456-426614174000'::uuid", "text", "123e4567-e89b-12d3-a456-426614174000"),
    "c_inet": ("'10.1.2.3'::inet", "text", "10.1.2.3"),
    "c_interval": ("interval '3 days'", "text", NO_TEXT),
    "c_bytea": (r"'\x6869'::bytea", "text", NO_TEXT),
}
REDSHIFT: Mapping[str, Type] = {
    **{
        name: POSTGRESQL[name] for name in ("c_text", "c_char", "c_int", "c_numeric", "c_bool", "c_date", "c_timestamp")
    },
    "c_moment": POSTGRESQL["c_moment"],
    "c_real": ("1.5::real", "decimal", 1.5),
    "c_super": ("""'{"k": 1}'::json""", "text", OBJECT),
    "c_interval": ("interval '3 days'", "text", NO_TEXT),
}
SQLITE: Mapping[str, Type] = {
    "c_text": ("'Ana'", "text", "Ana"),
    "c_int": ("7", "integer", 7),
    "c_real": ("1.5", "decimal", 1.5),
    "c_bool": ("1", "boolean", True),
    "c_date": ("'2026-01-02'", "date", DAY),
    "c_timestamp": ("'2026-01-02 03:04:05'", "date", MOMENT),
    "c_json_array": ("""json_array('a', 'b')""", CHECKBOX, ["a", "b"]),
    "c_json": ("""json_object('k', 1)""", "text", '{"k":1}'),
    "c_blob": ("x'6869'", "text", NO_TEXT),
}
MYSQL: Mapping[str, Type] = {
    "c_text": ("varchar(20)", "text", "Ana"),
    "c_int": ("bigint", "integer", 7),
    "c_decimal": ("decimal(10, 2)", "decimal", 1.5),
    "c_double": ("double", "decimal", 1.1),
    "c_tinyint": ("tinyint(1)", "boolean", True),
    "c_bit": ("bit(1)", "boolean", True),
    "c_bits": ("bit(8)", "integer", 5),
    "c_set": ("set('a', 'b')", CHECKBOX, ["a", "b"]),
    "c_enum": ("enum('x', 'y')", "text", "x"),
    "c_varbinary": ("varbinary(20)", "text", "café"),
    "c_blob": ("blob", "text", NO_TEXT),
    "c_json": ("json", "text", OBJECT),
    "c_date": ("date", "date", DAY),
    "c_datetime": ("datetime", "date", MOMENT),
    "c_zero": ("date", "date", Refused("cannot be read as a date")),
    "c_time": ("time", "text", NO_TEXT),
    "c_year": ("year", "integer", 2026),
}
_MYSQL_VALUES = {
    "c_text": "'Ana'",
    "c_int": "7",
    "c_decimal": "1.5",
    "c_double": "1.1",
    "c_tinyint": "1",
    "c_bit": "b'1'",
    "c_bits": "b'101'",
    "c_set": "'a,b'",
    "c_enum": "'x'",
    "c_varbinary": "x'636166c3a9'",
    "c_blob": "x'ff00'",
    "c_json": f"'{OBJECT}'",
    "c_date": "'2026-01-02'",
    "c_datetime": "'2026-01-02 03:04:05'",
    "c_zero": "'0000-00-00'",
    "c_time": "'12:30:00'",
    "c_year": "2026",
}


def mysql_table() -> list[str]:
    """Statements that make a table with a row of these types."""
    return [
        "set sql_mode = ''",
        f"create table typed ({', '.join(f'{name} {kind}' for name, (kind, *_) in MYSQL.items())})",
        f"insert into typed values ({', '.join(_MYSQL_VALUES[name] for name in MYSQL)})",
    ]


DUCKDB: Mapping[str, Type] = {
    "c_text": ("'Ana'::varchar", "text", "Ana"),
    "c_int": ("7::bigint", "integer", 7),
    "c_hugeint": ("7::hugeint", "integer", 7),
    "c_decimal": ("1.5::decimal(10, 2)", "decimal", 1.5),
    "c_double": ("1.1::double", "decimal", 1.1),
    "c_bool": ("true", "boolean", True),
    "c_date": ("date '2026-01-02'", "date", DAY),
    "c_timestamp": ("timestamp '2026-01-02 03:04:05'", "date", MOMENT),
    "c_moment": ("timestamptz '2026-01-02 03:04:05+00'", "date", NO_MIDNIGHT),
    "c_list": ("['a', 'b']", CHECKBOX, ["a", "b"]),
    "c_struct": ("{'k': 1}", "text", OBJECT),
    "c_map": ("map {'k': 1}", "text", OBJECT),
    "c_enum": ("'a'::enum('a', 'b')", "text", "a"),
    "c_uuid": ("'123e4567-e89b-12d3-a456-426614174000'::uuid", "text", "123e4567-e89b-12d3-a456-426614174000"),
    "c_interval": ("interval '3 days'", "text", NO_TEXT),
    "c_blob": ("'hi'::blob", "text", NO_TEXT),
}
# The type of a column, and an expression for its value.
SNOWFLAKE: Mapping[str, Type] = {
    "c_text": (("varchar", "'Ana'"), "text", "Ana"),
    "c_number": (("number(38, 0)", "7"), "integer", 7),
    "c_decimal": (("number(10, 2)", "1.5"), "decimal", 1.5),
    "c_float": (("float", "1.1"), "decimal", 1.1),
    "c_bool": (("boolean", "true"), "boolean", True),
    "c_date": (("date", "'2026-01-02'"), "date", DAY),
    "c_ntz": (("timestamp_ntz", "'2026-01-02 03:04:05'"), "date", MOMENT),
    "c_ltz": (("timestamp_ltz", "'2026-01-02 03:04:05'"), "date", NO_MIDNIGHT),
    "c_tz": (("timestamp_tz", "'2026-01-02 03:04:05'"), "date", NO_MIDNIGHT),
    "c_variant": (("variant", """parse_json('{"k": 1}')"""), "text", '{"k":1}'),
    "c_array": (("array", "array_construct('a', 'b')"), CHECKBOX, ["a", "b"]),
    "c_object": (("object", "object_construct('k', 1)"), "text", '{"k":1}'),
    "c_time": (("time", "'03:04:05'"), "text", NO_TEXT),
    "c_binary": (("binary", "to_binary('6869', 'HEX')"), "text", NO_TEXT),
}


def snowflake_table() -> list[str]:
    """Statements that make a table with a row of these types."""
    columns = ", ".join(f"{name} {kind}" for name, ((kind, _), *_) in SNOWFLAKE.items())
    values = ", ".join(value for (_, value), *_ in SNOWFLAKE.values())
    return [f"create or replace table typed ({columns})", f"insert into typed select {values}"]


TRINO: Mapping[str, Type] = {
    "c_text": (("varchar", "Ana"), "text", "Ana"),
    "c_int": (("bigint", 7), "integer", 7),
    "c_decimal": ((of("decimal", 10, 2), "1.50"), "decimal", 1.5),
    "c_double": (("double", 1.1), "decimal", 1.1),
    "c_bool": (("boolean", True), "boolean", True),
    "c_date": (("date", DAY), "date", DAY),
    "c_timestamp": ((of("timestamp", 3), "2026-01-02 03:04:05.000"), "date", MOMENT),
    "c_moment": ((of("timestamp with time zone", 3), "2026-01-02 03:04:05.000 UTC"), "date", NO_MIDNIGHT),
    "c_array": ((of("array", "varchar"), ["a", "b"]), CHECKBOX, ["a", "b"]),
    "c_map": ((of("map", "varchar", "bigint"), {"k": 1}), "text", OBJECT),
    "c_json": (("json", OBJECT), "text", OBJECT),
    "c_uuid": (
        ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
        "text",
        "123e4567-e89b-12d3-a456-426614174000",
    ),
    "c_ip": (("ipaddress", "10.1.2.3"), "text", "10.1.2.3"),
    "c_varbinary": (("varbinary", "aGk="), "text", NO_TEXT),
    "c_interval": (("interval day to second", "3 00:00:00.000"), "date", NO_DATE),
}
BIGQUERY: Mapping[str, Type] = {
    "c_string": ((("STRING",), "Ana"), "text", "Ana"),
    "c_int": ((("INTEGER",), "7"), "integer", 7),
    "c_numeric": ((("NUMERIC",), "1.5"), "decimal", 1.5),
    "c_bignumeric": ((("BIGNUMERIC",), "1.5"), "decimal", 1.5),
    "c_float": ((("FLOAT",), "1.1"), "decimal", 1.1),
    "c_bool": ((("BOOLEAN",), "true"), "boolean", True),
    "c_date": ((("DATE",), DAY), "date", DAY),
    "c_datetime": ((("DATETIME",), "2026-01-02T03:04:05"), "date", MOMENT),
    # Microseconds since the epoch, as its client asks for them.
    "c_timestamp": ((("TIMESTAMP",), "1767323045678000"), "date", NO_MIDNIGHT),
    "c_midnight": ((("TIMESTAMP",), "1767312000000000"), "date", MIDNIGHT),
    "c_array": ((("STRING", "REPEATED"), [{"v": "a"}, {"v": "b"}]), CHECKBOX, ["a", "b"]),
    "c_int_array": ((("INTEGER", "REPEATED"), [{"v": "1"}]), CHECKBOX, Refused("must be a list")),
    "c_struct": (
        (("RECORD", "NULLABLE", [{"name": "k", "type": "INTEGER", "mode": "NULLABLE"}]), {"f": [{"v": "1"}]}),
        "text",
        OBJECT,
    ),
    "c_json": ((("JSON",), OBJECT), "text", OBJECT),
    "c_geography": ((("GEOGRAPHY",), "POINT(1 2)"), "text", "POINT(1 2)"),
    "c_bytes": ((("BYTES",), "aGk="), "text", NO_TEXT),
    "c_time": ((("TIME",), "03:04:05"), "text", NO_TEXT),
    "c_interval": ((("INTERVAL",), "1-2 3 4:5:6"), "text", NO_TEXT),
}
