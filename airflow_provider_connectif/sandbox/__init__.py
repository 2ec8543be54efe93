"""A local server that behaves like the Connectif API as far as it is known.

It listens on the loopback interface only, for development and tests without the contacts of a real account. Start it by
hand with ``python -m airflow_provider_connectif.sandbox``, or from Python::

    from airflow_provider_connectif.sandbox import SandboxProcess

    with SandboxProcess(requests_per_minute=100_000) as sandbox:
        ...  # send requests to sandbox.url with sandbox.api_key, then look at sandbox.contacts()

It accepts contacts one by one, and files to import. Imports have a queue of ten, states over time, and error reports.
The contacts of a file go into memory, some ten thousand rows a second.

It follows the API's documentation. Where the documentation says nothing, the sandbox makes a choice. The docstring or
comment next to such a choice calls it an *assumption*. The sandbox shares no code with the client of this package, so
that it can judge the client independently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_connectif.sandbox.process import SandboxProcess

__all__ = ["SandboxProcess"]


def __getattr__(name: str) -> object:
    # Imported on demand: the server's own modules import this package, and do not need the modules of SandboxProcess.
    if name == "SandboxProcess":
        from airflow_provider_connectif.sandbox.process import SandboxProcess

        return SandboxProcess
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
