"""Runs the sandbox on a loopback address until a signal stops it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import sys
from types import FrameType
from typing import TextIO

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_connectif.sandbox.app import TRANSPORT, SandboxApp
from airflow_provider_connectif.sandbox.settings import Settings
from airflow_provider_connectif.sandbox.state import SandboxState

_BACKLOG = 512


class NotLoopbackError(ValueError):
    """The sandbox was started with an address that other machines could reach."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to a loopback ``host`` (an address or ``localhost``) and a ``port`` (0: a free one).

    Raises NotLoopbackError if the host is another one, and OSError if the port is not free.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise NotLoopbackError(f"the host must be localhost or a loopback address, not {host!r}") from None
    if not address.is_loopback:
        raise NotLoopbackError(
            f"the sandbox listens on loopback addresses only, since its control needs no key; {host} is not one"
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named. Without TCP_NODELAY, every response with a body waits some
    # 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
    except OSError:
        listener.close()
        raise
    return listener


def serve(settings: Settings, listener: socket.socket, *, output: TextIO = sys.stdout) -> None:
    """Serve requests on ``listener`` until SIGINT or SIGTERM.

    As soon as it accepts requests, it prints one line with the address to ``output``.
    """
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again after it has ended. Then nothing is left to do.
        signal.signal(stop_signal, _exit_in_order)
    # uvicorn logs a warning for a request that is not HTTP. The standard error is only for errors of the sandbox.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    address = _address(listener)
    app = SandboxApp(SandboxState(settings, address))
    config = uvicorn.Config(
        app,
        http=_SandboxProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=_BACKLOG,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    _SandboxServer(config, app, _greeting(settings, address), output).run(sockets=[listener])


class _SandboxProtocol(H11Protocol):
    """Passes the connection's transport to the application, so that it can close a connection without a response."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


class _SandboxServer(uvicorn.Server):
    """Prints a line when it listens, and ends delayed responses when it stops."""

    def __init__(self, config: uvicorn.Config, app: SandboxApp, greeting: str, output: TextIO) -> None:
        super().__init__(config)
        self._app = app
        self._greeting = greeting
        self._output = output

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._output.write(self._greeting + "\n")
        self._output.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.stopping.set()
        await super().shutdown(sockets)


def _exit_in_order(signal_number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greeting(settings: Settings, address: str) -> str:
    first, *others = settings.api_keys
    keys = f"API key {first.pair}" + (f" and {len(others)} more" if others else "")
    limit = "no request limit"
    if settings.requests_per_window:
        limit = f"{settings.requests_per_window} requests per {settings.window_seconds:g} s"
    return f"Connectif sandbox on {address}/  ({keys}, {limit})"
