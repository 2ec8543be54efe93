"""A local server that behaves like the Connectif API as far as it is known.

It answers on the loopback interface only and exists to develop and test against without touching the contacts
of a real account. Start it by hand with ``python -m airflow_provider_connectif.sandbox``, or from Python::

    from airflow_provider_connectif.sandbox import SandboxProcess

    with SandboxProcess(requests_per_minute=0) as sandbox:
        ...  # send requests to sandbox.url with sandbox.api_key, then look at sandbox.contacts()

It takes contacts one by one and as files to import: a queue of ten, states over time, error reports. Files are
worked off into memory, at some ten thousand rows a second.

What the API's documents say is done as they say; where they are silent the sandbox has to choose, and the
choice is called an *assumption* in the docstring or comment next to it. The sandbox shares no code with the
client of this package, so that it can be an independent judge of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_connectif.sandbox.process import SandboxProcess

__all__ = ["SandboxProcess"]


def __getattr__(name: str) -> object:
    # Lazy, so that importing the package (as the server's own modules do) does not load the subprocess
    # machinery.
    if name == "SandboxProcess":
        from airflow_provider_connectif.sandbox.process import SandboxProcess

        return SandboxProcess
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
