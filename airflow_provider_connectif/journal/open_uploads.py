"""Finds uploads that are not settled: an erasure waits for those whose files may contain its people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from airflow_provider_connectif.journal.import_state import ImportState, has_open_files


class OpenUpload(NamedTuple):
    """A file that is or may be at Connectif, and is not settled.

    ``plan_id``, ``file``: the plan and the number of the file in it. ``import_id``: ``None`` while there is no response
    to its upload. ``since``: start of the upload, in seconds since the epoch. ``known_ids``: the ids of all imports of
    the same plan. ``is_at_work``: whether a process of the plan's task is running.
    """

    plan_id: str
    file: int
    import_id: str | None
    since: float
    known_ids: frozenset[str]
    is_at_work: bool


def group_of(file: int | None) -> int | None:
    """Return the number of the group of a contact in an import file; ``None`` if the contact is in no file.

    :param file: the value of the column ``file`` of the contact's pending row: the number of its group; for a rejected
        contact, -1 minus that number.
    """
    return file if file is None or file >= 0 else -1 - file


def open_files_by_group(state: Mapping[str, Any]) -> dict[int | None, set[int]]:
    """Return the numbers of the open files of each group of contacts, by the number of the group.

    :param state: the stored state of a plan.
    """
    saved = _import_state(state) if has_open_files(state) else None
    if saved is None:
        return {}
    open_files = {sent.file for sent in saved.files if sent.is_open}
    return {
        number: files for number, group in enumerate(saved.groups) if (files := open_files.intersection(group.files))
    }


def uploads_of(
    plan_id: str, state: Mapping[str, Any], files: Collection[int], *, is_at_work: bool
) -> Iterator[OpenUpload]:
    """Yield the uploads of some files of a plan.

    :param state: the stored state of the plan.
    :param files: the numbers of the files.
    :param is_at_work: whether a process of the plan's task is running.
    """
    saved = _import_state(state)
    if saved is None:
        return
    known_ids = frozenset(saved.known_ids)
    for sent in saved.files:
        if sent.file in files:
            yield OpenUpload(plan_id, sent.file, sent.import_id, sent.since or 0.0, known_ids, is_at_work)


def _import_state(state: Mapping[str, Any]) -> ImportState | None:
    return ImportState.from_json({**state, "is_all_sent": False, "is_parked": False})
