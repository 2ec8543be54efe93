"""The delay before a retry: one rule for PATCH, field definitions, imports and polling."""

from __future__ import annotations

import random

FIRST_DELAY_S = 0.5
LONGEST_GROWN_DELAY_S = 30.0


def retry_delay_s(failures: int, retry_after_s: float | None = None, *, jitter: float | None = None) -> float:
    """Return the seconds to wait before the next attempt.

    The delay doubles from half a second up to thirty seconds. A random factor keeps many tasks from retrying together.
    A longer ``Retry-After`` wins. The caller decides whether it is too long.

    :param failures: attempts that failed so far, 1 or more.
    :param retry_after_s: seconds that the server's ``Retry-After`` asks for.
    :param jitter: the random factor, between 0.5 and 1.5 by default; tests pass it.
    """
    factor = random.uniform(0.5, 1.5) if jitter is None else jitter
    grown = min(LONGEST_GROWN_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 16)) * factor
    return max(grown, retry_after_s or 0.0)
