"""Waiting for imports without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow_provider_connectif.api.async_imports import AsyncImports

Why = Literal["over", "deadline", "refused"]

_LONGEST_SLEEP_S = 10.0  # clocks are set, machines sleep


class ImportTrigger(BaseTrigger):
    """Fires when no import is under way any more, when the deadline is over, or when the key is refused.

    What became of the imports is looked at again by the process that goes on, which also has the words for it. The
    API key is read from the connection and kept nowhere.

    :param connectif_conn_id: the connection.
    :param import_ids: the imports.
    :param poll_interval_s: seconds between two looks at one import.
    :param deadline: seconds since the epoch.
    :param carried: what the process that goes on has to know, where nothing else keeps it; no personal data.
    """

    def __init__(
        self,
        connectif_conn_id: str,
        import_ids: Sequence[str],
        poll_interval_s: float,
        deadline: float,
        carried: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no types
        self.connectif_conn_id = connectif_conn_id
        self.import_ids = list(import_ids)
        self.poll_interval_s = poll_interval_s
        self.deadline = deadline
        self.carried = carried
        self._failures = 0  # polls in a row without a usable response
        self._retry_after_s: float | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, for Airflow's database."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "connectif_conn_id": self.connectif_conn_id,
            "import_ids": self.import_ids,
            "poll_interval_s": self.poll_interval_s,
            "deadline": self.deadline,
            "carried": self.carried,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the imports in turn; one event.

        Its payload: ``statuses`` (by import id, as far as seen), ``why`` (``over``, ``deadline`` or ``refused``),
        ``requests``, ``rate_limited``, ``carried``.
        """
        # The HTTP libraries are loaded when a trigger runs, not when a process that defers makes one.
        from airflow_provider_connectif.api.errors import ConnectifConfigError
        from airflow_provider_connectif.hooks.connectif import ConnectifHook

        statuses: dict[str, str | None] = {}
        why: Why = "refused"
        requests = rate_limited = 0
        try:
            async with await ConnectifHook(self.connectif_conn_id).get_async_imports() as imports:
                why = await self._wait(imports, statuses)
                requests, rate_limited = imports.requests, imports.rate_limited
        except ConnectifConfigError as error:
            # The triggerer's machine may be set up otherwise than the worker's: the task looks by itself.
            self.log.warning("Cannot look at imports from the triggerer, so the task itself waits: %s", error)
        yield TriggerEvent(
            {
                "statuses": statuses,
                "why": why,
                "requests": requests,
                "rate_limited": rate_limited,
                "carried": self.carried,
            }
        )

    async def _wait(self, imports: AsyncImports, statuses: dict[str, str | None]) -> Why:
        from airflow_provider_connectif.delivery.backoff import retry_delay_s
        from airflow_provider_connectif.imports.rules import gap_s

        left = list(self.import_ids)
        while left:
            for import_id in list(left):
                try:
                    async with asyncio.timeout(self.deadline - time.time()):
                        fate = await self._look(imports, import_id, statuses)
                except TimeoutError:
                    return "deadline"
                if fate is None:
                    return "refused"
                if fate != "wait":
                    left.remove(import_id)
                    continue
                delay = retry_delay_s(self._failures, self._retry_after_s) if self._failures else 0.0
                await self._sleep(max(gap_s(self.poll_interval_s, len(left)), delay))
        return "over"

    async def _look(self, imports: AsyncImports, import_id: str, statuses: dict[str, str | None]) -> str | None:
        """What an import's state means for the task; ``None`` where it makes no sense to poll again."""
        from airflow_provider_connectif.api.errors import (
            ConnectifHttpError,
            MalformedAnswerError,
            NoAnswerError,
            NotFoundError,
            TooManyRequestsError,
        )
        from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
        from airflow_provider_connectif.imports.rules import FATES, Fate

        failures, self._failures, self._retry_after_s = self._failures, 0, None
        try:
            status = (await imports.get_import(import_id)).status
        except NotFoundError:
            return Fate.GONE
        except TooManyRequestsError:
            return Fate.WAIT  # the next request waits for the window
        except ConnectifHttpError as error:
            if ResponsePolicy().for_error(error) is Action.FAIL:
                return None
            self._failures, self._retry_after_s = failures + 1, error.retry_after
            return Fate.WAIT
        except (NoAnswerError, MalformedAnswerError):
            self._failures = failures + 1
            return Fate.WAIT
        statuses[import_id] = status
        return FATES.get(status, Fate.WAIT)

    async def _sleep(self, seconds: float) -> None:
        until = min(time.time() + seconds, self.deadline)
        while (left := until - time.time()) > 0:
            await asyncio.sleep(min(left, _LONGEST_SLEEP_S))
