"""Connectif's limits for imports."""

LARGEST_FILE_BYTES = 50_000_000
"""The largest file of an import (API reference, "Create import": 50 MB)."""

DEFAULT_FILE_BYTES = 48_000_000
"""The default of ``max_file_bytes``: below the limit for either definition of a megabyte."""

QUEUE_LENGTH = 10
"""Number of imports that may be queued at once, imports of the app included (API guide "Custom error codes", E0401)."""
