"""The hook: makes a Connectif client from an Airflow connection."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_connectif.api.credentials import ApiKey, base_url
from airflow_provider_connectif.api.errors import (
    ConnectifConfigError,
    ConnectifError,
    ForbiddenError,
    TooManyRequestsError,
    UnauthorizedError,
)
from airflow_provider_connectif.hooks import connection_form

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_connectif.api.client import ConnectifClient

T = TypeVar("T")

_LONGEST_S = 30 * 86_400.0  # much larger numbers of seconds are an error in threads and sockets

# The form offers "generic" if the provider is not installed on the webserver.
_CONNECTION_TYPES = (connection_form.CONNECTION_TYPE, "generic", "", None)


class ConnectifHook(BaseHook):
    """Makes a client from a connection of type ``connectif``.

    The API key ``keyId:keySecret`` is the connection's password. Or the key's id is the login, and its secret is the
    password. The default host is ``https://api.connectif.cloud``; plain http is allowed only for this machine. All
    extras are optional. The client uses ``timeout`` (seconds until a response begins, and again until it is complete;
    default 30), ``connect_timeout`` (seconds; default 5), ``requests_per_minute`` (a cap below the account's own;
    default: no cap) and ``verify`` (``true``, which is the default, ``false`` or the path of a CA bundle).

    The client sends each request once. Two extras are for the operators: ``retries`` (attempts for one contact; default
    5) and ``longest_wait`` (seconds that a task waits if Connectif asks for a pause; default 120; for a longer pause,
    the task is deferred or fails for a retry).

    :param connectif_conn_id: the connection's id. The connection is read when it is needed, never in ``__init__``.
    """

    conn_name_attr = "connectif_conn_id"
    default_conn_name = "connectif_default"
    conn_type = connection_form.CONNECTION_TYPE
    hook_name = connection_form.HOOK_NAME

    def __init__(self, connectif_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connectif_conn_id = connectif_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow 2.11 to 3.1. Later versions read the provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import IntegerField, StringField
        from wtforms.validators import Optional

        # Airflow refuses the whole hook if a field is a FloatField; the hook also reads numbers from text.
        kinds = {"number": StringField, "integer": IntegerField, "string": StringField}
        return {
            field.name: kinds[field.type](
                lazy_gettext(field.label),
                widget=BS3TextFieldWidget(),
                description=field.description,
                validators=[Optional()],
            )
            for field in connection_form.EXTRA_FIELDS
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's labels and placeholders for Airflow 2.11 to 3.1. Later versions read the provider info."""
        return connection_form.hook_field_behaviour()

    def get_conn(self, *, connections: int = 8) -> ConnectifClient:
        """Return a new client for the connection, with a quota of its own; nothing is sent yet. Close it after use.

        :param connections: the number of network connections to keep open: one for each thread that uses the client.
        :raises ConnectifConfigError: the connection's type, key, host or an extra is not valid, or a proxy or CA bundle
            of the environment cannot be used; the message never quotes the key.
        :raises AirflowNotFoundException: there is no such connection.
        """
        connection = self.get_connection(self.connectif_conn_id)
        if connection.conn_type not in _CONNECTION_TYPES:
            # The id may come from a template: another service's password must not be sent to Connectif.
            raise ConnectifConfigError(
                f"connection {self.connectif_conn_id!r} is of type {connection.conn_type!r}, not "
                f"{connection_form.CONNECTION_TYPE!r}: its password is not sent"
            )
        try:
            make_client = _client_of(connection, connections)
        except ConnectifConfigError as error:
            words = str(error)
        else:
            return make_client()  # its errors are about the environment
        raise ConnectifConfigError(f"connection {self.connectif_conn_id!r}: {words}")

    def test_connection(self) -> tuple[bool, str]:
        """Send ``GET /store/`` once, for the connection form's test button; needs the scope "Store: Read".

        :return: whether Connectif responded with the account's data, and a message, which never quotes the key.
            ``False`` can also mean a missing scope, a used-up rate limit or a fault of the network.
        """
        try:
            client = self.get_conn(connections=1)
            try:
                client.get_store()
            except TooManyRequestsError:
                # It is not documented whether Connectif checks the key before it counts the request.
                return False, (
                    "Connectif responded 429, which says nothing about the API key: the account's rate limit is used "
                    f"up. Test again in {math.ceil(min(max(1.0, client.quota.delay_s()), 3600.0)):,} s"
                )
            finally:
                client.close()
        except UnauthorizedError:
            return False, "Connectif refused the API key (401): copy keyId:keySecret again into the password"
        except ForbiddenError:
            return False, (
                "Connectif responded 403: either the API key does not have the scope Store: Read, which this test uses "
                "(to deliver contacts it needs Contacts: Write), or the account is blocked"
            )
        except ConnectifError as error:
            return False, f"The test failed: {error}"
        return True, "Connectif accepted the API key"


def _client_of(connection: Connection, connections: int) -> Callable[[], ConnectifClient]:
    """Return the function that makes the client of a connection, whose values are checked here."""
    # The HTTP library is loaded when a client is made, not when a DAG that imports an operator is parsed.
    from airflow_provider_connectif.api import client
    from airflow_provider_connectif.api.quota import Quota

    extra = _extra(connection)
    key = ApiKey.parse(connection.login, connection.password)
    mask_secret(key.secret)
    mask_secret(key.authorization)
    return partial(
        client.ConnectifClient,
        key,
        base_url(connection.host, connection.port),
        connect_timeout=_extra_number(extra, "connect_timeout") or client.DEFAULT_CONNECT_TIMEOUT_S,
        read_timeout=_extra_number(extra, "timeout") or client.DEFAULT_READ_TIMEOUT_S,
        tries=_extra_count(extra, "retries") or client.DEFAULT_TRIES,
        longest_wait=_extra_number(extra, "longest_wait") or client.DEFAULT_LONGEST_WAIT_S,
        quota=Quota(_extra_count(extra, "requests_per_minute")),
        verify=_verify(extra),
        connections=connections,
    )


def _extra(connection: Connection) -> Mapping[str, Any]:
    # ``extra_dejson`` is empty for text that it cannot parse. A cap of requests would then be ignored silently.
    try:
        parsed = json.loads(connection.extra or "{}")
    except (ValueError, RecursionError):
        raise ConnectifConfigError("the Connectif connection's extra is not valid JSON") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, Mapping):
        raise ConnectifConfigError("the Connectif connection's extra must be a JSON object")
    extra: Mapping[str, Any] = connection.extra_dejson  # reading it also masks its secrets in the log
    return extra


def _extra_value(extra: Mapping[str, Any], name: str, convert: Callable[[Any], T | None], rule: str) -> T | None:
    """Return one extra, converted; ``None``: it is not set. The form saves an empty field as null or as empty text.

    :param convert: raises an error, or returns ``None``, if the value is not valid.
    :param rule: describes valid values, for the message.
    """
    value = extra.get(name)
    if value is None or value == "":
        return None
    converted = None
    if not isinstance(value, bool):
        try:
            converted = convert(value)
        except (TypeError, ValueError, OverflowError):
            converted = None
    if converted is None:
        raise ConnectifConfigError(f"the Connectif connection's extra {name!r} must be {rule}")
    return converted


def _extra_number(extra: Mapping[str, Any], name: str) -> float | None:
    def positive(value: Any) -> float | None:
        number = float(value)
        return number if 0 < number <= _LONGEST_S else None

    return _extra_value(extra, name, positive, "a number of seconds above 0, at most 30 days")


def _extra_count(extra: Mapping[str, Any], name: str) -> int | None:
    def whole(value: Any) -> int | None:
        number = float(value)
        return int(number) if number.is_integer() and number >= 1 else None

    return _extra_value(extra, name, whole, "a whole number, 1 or more")


def _verify(extra: Mapping[str, Any]) -> bool | str:
    value = extra.get("verify")
    if value is None or value == "":
        return True
    words: dict[Any, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    return words.get(str(value).strip().lower(), str(value))
