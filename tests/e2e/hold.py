"""An Airflow with a sandbox to look at, until Ctrl-C: ``python -m tests.e2e.hold``.

Prints one line of JSON when it is up: where Airflow, the sandbox, the database and Airflow's home are, and the numbers
of all processes.
"""

from __future__ import annotations

import json
import os
import signal

from tests.e2e.deployment import Deployment, ended_by_sigterm


def main() -> None:
    """Run it."""
    # A shell lets what it starts in the background ignore Ctrl-C, and so all that is started from there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ended_by_sigterm(), Deployment(os.environ.get("CONNECTIF_E2E_AIRFLOW", "3.3")) as deployment:
        connectif = deployment.connectif()
        where = {
            "airflow": deployment.rest.url,
            "connectif": connectif.url,
            "postgres": deployment.database.url("warehouse"),
            "home": str(deployment.home),
            "processes": [
                process.pid for component in deployment.components.values() for process in component.processes()
            ],
        }
        print(json.dumps(where), flush=True)
        signal.pause()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
