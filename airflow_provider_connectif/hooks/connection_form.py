"""The fields of the connection's form in Airflow's UI, in one table.

Airflow 3.2 and later read the form from the provider info; 2.11 to 3.1 read it from methods of the hook. Both use this
table. The module imports only the standard library, because Airflow loads it at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CONNECTION_TYPE = "connectif"
HOOK_NAME = "Connectif"
HOOK_CLASS = "airflow_provider_connectif.hooks.connectif.ConnectifHook"


@dataclass(frozen=True)
class ExtraField:
    """A field of the form that is stored in the connection's extra.

    :param name: its key in the extra.
    :param label: its name in the form.
    :param description: the form's help text.
    :param type: JSON type.
    :param minimum: smallest number allowed.
    """

    name: str
    label: str
    description: str
    type: str
    minimum: float | None = None


EXTRA_FIELDS = (
    ExtraField(
        "timeout",
        "Timeout (seconds)",
        "How long Connectif may take to respond to a request; 30 if empty.",
        "number",
        minimum=0.1,
    ),
    ExtraField(
        "connect_timeout",
        "Connect timeout (seconds)",
        "How long opening a connection may take; 5 if empty.",
        "number",
        minimum=0.1,
    ),
    ExtraField(
        "requests_per_minute",
        "Requests per minute",
        "A cap below the account's 100, to leave room for other integrations; none if empty.",
        "integer",
        minimum=1,
    ),
    ExtraField(
        "retries",
        "Tries per contact",
        "Attempts per contact when Connectif does not respond or responds 5xx; 5 if empty.",
        "integer",
        minimum=1,
    ),
    ExtraField(
        "longest_wait",
        "Longest wait (seconds)",
        "If Connectif asks for a pause, a task waits at most this long. If the pause is longer, the task is deferred "
        "if possible, or fails for a retry. 120 if empty.",
        "number",
        minimum=0.1,
    ),
    ExtraField(
        "verify",
        "TLS verification",
        "true (if empty), false, or the path of a CA bundle on the workers.",
        "string",
    ),
)

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema"],
    "relabeling": {"host": "Base URL", "login": "API key id (optional)", "password": "API key"},
    "placeholders": {
        "host": "https://api.connectif.cloud",
        "login": "only if the password holds the secret alone",
        "password": "keyId:keySecret",
        # A number alone would look like a value.
        "port": "empty; the Test button needs a number, such as 443",
    },
}
"""The form's labels and placeholders. The keys are those of the provider info; the hook's method needs underscores."""


def conn_fields() -> dict[str, Any]:
    """Return the extra fields as the provider info describes them (Airflow 3.2 and later)."""
    return {field.name: _conn_field(field) for field in EXTRA_FIELDS}


def hook_field_behaviour() -> dict[str, Any]:
    """Return the form's labels and placeholders as the hook's method returns them (Airflow 2.11 to 3.1)."""
    return {key.replace("-", "_"): value for key, value in UI_FIELD_BEHAVIOUR.items()}


def _conn_field(field: ExtraField) -> dict[str, Any]:
    # The fields have no defaults: the form would save them into each connection, and a later default would not apply.
    schema: dict[str, Any] = {"type": [field.type, "null"]}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    return {"label": field.label, "description": field.description, "schema": schema}
