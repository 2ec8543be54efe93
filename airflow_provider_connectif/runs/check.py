"""A run that only looks: every row is read, mapped and checked, and no contact is sent."""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.protocols import Source
from airflow_provider_connectif.reporting.progress import describe_seconds, plural, seconds_at_best
from airflow_provider_connectif.runs.key_counter import KeyCounter
from airflow_provider_connectif.runs.run import Run

_EXAMPLES = 3
_DIGIT = re.compile(r"\d")
_NOT_PUNCTUATION = re.compile(r"[A-Za-z]|[^\x00-\x7f]")
_LONGEST_MASKED = 60


class ContactCheck(Run):
    """Checks the rows of a source as a delivery would; the only requests are those for field definitions."""

    _reasons_in_failure = 0  # they are what somebody has asked for, and stand in the log, all of them

    def __init__(self, *arguments: Any, **named_arguments: Any) -> None:
        super().__init__(*arguments, **named_arguments)
        self._keys = KeyCounter()
        self._examples: list[Patch] = []

    def _process(self, source: Source) -> None:
        for patch in self._patches(source):
            self._keys.add(self._mapping.same_contact(patch.key))
            if len(self._examples) < _EXAMPLES:
                self._examples.append(patch)

    @property
    def _checked_only(self) -> int:
        return self._keys.count

    def _more_in_summary(self) -> dict[str, Any]:
        return {
            "check_only": True,
            "valid": self._keys.count,
            "duplicates": self._keys.duplicates,
            "run_requests": self._keys.count,
            "run_duration_s": self._run_duration_s,
        }

    @property
    def _run_duration_s(self) -> float:
        """At best: full windows are used up at once, so the last one takes no time to speak of."""
        return seconds_at_best(self._keys.count, self._client.quota.requests_per_minute)

    def _log_end(self) -> None:
        self._log.info(
            "%s %s in %s, no contact sent: %s can be sent, %s invalid; %s the key of an earlier row%s",
            self._check_words,
            plural(self._tally.read, "row"),
            describe_seconds(self._effort.duration_s),
            f"{self._keys.count:,}",
            f"{self._tally.outcomes[Outcome.INVALID]:,}",
            "1 row repeats" if self._keys.duplicates == 1 else f"{self._keys.duplicates:,} rows repeat",
            self._end_notes,
        )
        self._log.info(
            "A run takes %s: at %s a minute %s",
            plural(self._keys.count, "request"),
            f"{self._client.quota.requests_per_minute:,}",
            f"about {describe_seconds(self._run_duration_s)}" if self._run_duration_s else "less than a minute",
        )
        for patch in self._examples:
            masked = {property_id: masked_value(value) for property_id, value in patch.properties.items()}
            self._log.info("Example, row %d, values masked: %s", patch.number, json.dumps(masked, ensure_ascii=False))
        self._progress.log_reasons(most=len(self._tally.reasons))


def masked_value(value: Any) -> Any:
    """The form of a value without the value: letters as ``x``, digits as ``9``."""
    if value is None:
        return None
    if isinstance(value, list):
        return [masked_value(item) for item in value[:_EXAMPLES]]
    text = value if isinstance(value, str) else json.dumps(value)
    return _NOT_PUNCTUATION.sub("x", _DIGIT.sub("9", text))[:_LONGEST_MASKED]
