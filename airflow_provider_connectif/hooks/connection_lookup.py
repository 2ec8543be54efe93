"""Errors for arguments that name a connection which Airflow does not know or cannot use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

from airflow_provider_connectif.api.errors import ConnectifConfigError, RunFailed

_UNKNOWN_TYPE = "Unknown hook type"
_MALFORMED = "Invalid connection string"  # the rest of Airflow's message quotes the URI, with its password


class NoSuchConnectionError(RunFailed, ValueError):
    """An argument names a connection that does not exist or cannot be used; another attempt would end the same way."""

    final = True


@contextmanager
def connection_named_by(argument: str, conn_id: str | None) -> Iterator[None]:
    """Turn Airflow's error about a connection that is looked up in the block into one that names the argument.

    The block should do nothing else: its ``ImportError``, ``AttributeError`` and ``ValueError`` count as such errors. A
    :class:`RunFailed` and other exceptions pass unchanged.

    :param argument: an argument of the operator or an option of the command, such as ``sql_conn_id``.
    :param conn_id: the argument's value, for the message.
    :raises NoSuchConnectionError: Airflow does not know the connection, cannot read it, or does not have the package
        for its type. Airflow's message is not shown: for a malformed URI it quotes the password.
    """
    try:
        yield
    except (ConnectifConfigError, RunFailed):
        raise
    except AirflowNotFoundException:
        fault = "Airflow has no connection of this name"
    except ImportError as error:
        fault = f"the package of its type cannot be imported ({error.name or type(error).__name__})"
    except AirflowException as error:
        if str(error).startswith(_UNKNOWN_TYPE):
            kind = str(error).removeprefix(_UNKNOWN_TYPE).strip(" \"'")
            fault = f"no installed provider has its type {kind!r}, or a package of that provider is missing"
        elif str(error).startswith(_MALFORMED):
            fault = "its URI cannot be read"
        else:
            raise
    except AttributeError:  # raised by Airflow for a type such as ``generic``
        fault = "its type has no hook"
    except ValueError:
        fault = "it cannot be read: encode special characters of a URI's password with %, or give it as JSON"
    else:
        return
    raise NoSuchConnectionError(f"{argument}={conn_id!r}: {fault}")
