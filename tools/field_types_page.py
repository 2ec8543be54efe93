"""Write docs/field-types.md from the code's own tables, or check that it is up to date (--check)."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_connectif.contacts.fields import SYSTEM_FIELDS, Field
from airflow_provider_connectif.contacts.rules import RULES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "field-types.md"

_INTRODUCTION = """\
# Field types

This page has for each type of field the values that a column may have, the JSON that is sent, and the values that make
a row `invalid`. An invalid row is counted by column and rule, written to `rejects_path`, and costs no request,
unless it withdraws a [consent](ownership.md#consent), which is sent alone.
`tools/field_types_page.py` writes this page from the table in the code; a test compares both.

The type of a custom field comes from the account (`GET /contact-fields/`) with `fields="live"`, or from your argument
`fields={"loyalty_tier": {"type": "radio", "options": [{"id": "gold", "label": "Gold"}]}, "city": "text"}`. With
`fields="builtin"`, or if the key cannot read definitions, the type of the value decides: bool is sent as boolean; int,
float and Decimal as number; text and UUID as string; date and datetime as ISO 8601; list, tuple and set of text as
array.

A date field contains a day (`yyyy-mm-dd`). The day of a moment depends on the time zone. So a moment with a time zone
is accepted only if it is midnight in that zone, and counts as that day. Cast other moments to a date in the query. A
datetime without a time zone is sent with its own day and time, so its day never changes; for
`_birthdate` it must be midnight.

`None` and empty lists are left out (`nulls="omit"`) or sent as `null` and `[]` (`nulls="clear"`). `null` is never sent
to boolean, checkbox and required fields, which always have a value, nor to consents: a missing consent is not a
withdrawal.

A phone number without a country code gets the country in the row's `region_column`. If that has no value, the country
comes from these places, in this order:

- for a custom field: the field's country code in the account, then `default_region`,
- for `_mobilePhone`: `default_region`, then the field's country code in the account.

If the value of `region_column` is not a country, a number without a country code makes the row invalid.
"""

_KEYS = """\
## Contact keys

| key | accepted | sent |
| --- | --- | --- |
| `email` | as type email | the address, in the path |
| `external_id` | text, whole numbers, UUIDs; at most 50 characters | trimmed text, in the path |
"""


def page() -> str:
    """Return the whole page."""
    rules = [_row(name, rule.accepted, rule.sent, rule.refused) for name, rule in RULES.items()]
    system = [_row(f"`{field.id}`", field.type, _options(field)) for field in SYSTEM_FIELDS.values()]
    return "\n".join(
        [
            _INTRODUCTION,
            "## Types",
            "",
            "| type | accepted | sent | refused |",
            "| --- | --- | --- | --- |",
            *rules,
            "",
            "## System fields",
            "",
            "| property | type | allowed values |",
            "| --- | --- | --- |",
            *system,
            '| `_email` (with `key="external_id"`) | email | |',
            "",
            _KEYS,
        ]
    )


def _options(field: Field) -> str:
    return " ".join(f"`{option_id}`" for option_id, _ in field.options)


def _row(*cells: str) -> str:
    """Return a row of a table. A vertical bar in a cell is escaped, since it would end the cell."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        sys.stdout.write("docs/field-types.md is up to date\n" if current else "run tools/field_types_page.py\n")
        return 0 if current else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
