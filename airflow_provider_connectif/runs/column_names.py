"""Matches names of the mapping to columns in another case: Snowflake and Oracle return names in capitals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_connectif.api.errors import RunFailed


class AmbiguousColumnError(RunFailed, ValueError):
    """Several columns of the result differ from a name of the mapping only by case."""

    final = True


def other_case(wanted: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Return each column that has a wanted name in another case, with this wanted name.

    A column that has a wanted name exactly matches only that name.

    :param wanted: the names that the mapping uses.
    :param columns: the columns of the result.
    :raises AmbiguousColumnError: final; the text names the columns from which the author must choose.
    """
    free: dict[str, list[str]] = {}
    for column in dict.fromkeys(columns):
        if column not in wanted:
            free.setdefault(column.lower(), []).append(column)
    found: dict[str, str] = {}
    faults = []
    for name in dict.fromkeys(wanted):
        candidates = [] if name in columns else free.get(name.lower(), [])
        if len(candidates) > 1:
            faults.append(f'column "{name}" may be any of {", ".join(map(_quoted, candidates))}')
        elif candidates and (other := found.setdefault(candidates[0], name)) != name:
            faults.append(f'"{other}" and "{name}" would both be column "{candidates[0]}"')
    if faults:
        raise AmbiguousColumnError(
            f"column names differ only by case: {'; '.join(faults)}. Use the exact name in the mapping or in key_column"
        )
    return found


def described(names: Mapping[str, str]) -> str:
    """Describe, for the log, the columns that are read under a name in another case."""
    pairs = ", ".join(f'"{column}" as "{name}"' for column, name in names.items())
    return f"The source has some column names in another case than the mapping\n  Reading {pairs}"


def _quoted(name: str) -> str:
    return f'"{name}"'
