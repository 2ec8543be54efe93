"""Deliver a warehouse's contacts to a local stand-in of Connectif, with a real Airflow, and check the outcome.

Run it with ``make demo``. It takes about a minute, needs no account and no network, and writes to ``.demo`` only.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # Python puts demo/ there, not the repository
    from demo.scenario import main

    sys.exit(main(ROOT))
