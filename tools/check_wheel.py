"""Build the wheel and check that it holds this package and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_connectif"


def main() -> int:
    """Return 0 if the wheel is as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
    tracked = {str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*") if _belongs(path)}
    shipped = {name for name in names if name.startswith(f"{PACKAGE}/")}
    foreign = {name for name in names - shipped if ".dist-info/" not in name}
    faults = [
        *(f"not of this package: {name}" for name in sorted(foreign)),
        *(f"missing: {name}" for name in sorted(tracked - shipped)),
        *(f"unexpected: {name}" for name in sorted(shipped - tracked)),
    ]
    sys.stdout.write("\n".join(faults or [f"{wheel.name}: {len(shipped)} files, this package only"]) + "\n")
    return 1 if faults else 0


def _belongs(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


if __name__ == "__main__":
    sys.exit(main())
