"""The keys of a source: which are missing, and which occur more than once."""

from __future__ import annotations

from array import array
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_connectif.journal import shown_keys
from airflow_provider_connectif.journal.shown_keys import ShownKeys


@pytest.mark.parametrize("in_memory", [1, 3, 1000])
def test_repeated_keys_are_found_wherever_they_are_kept(
    in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_keys, "_IN_MEMORY", in_memory)
    with closing(ShownKeys(tmp_path)) as keys:
        for key in ("ana", "bea", "eva", "ana", None, "ida", "eva", "ana"):
            keys.add([key])
        asked = array("q", [hash(key) for key in ("ana", "bea", "nobody", "ana", "ida")])
        assert keys.repeated(asked) == {hash("ana"): 3}
        assert keys.repeated(array("q")) == {}
        assert keys.without_shown(["ana", "nobody"]) == ["nobody"]
