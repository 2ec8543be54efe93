"""Waits for imports without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import FoldedLog
from airflow_provider_connectif.triggers.event_loop import in_thread, sleep_until

if TYPE_CHECKING:
    from airflow_provider_connectif.api.client import ConnectifClient
    from airflow_provider_connectif.api.import_record import Import
    from airflow_provider_connectif.imports.rules import Fate

Why = Literal["finished", "deadline", "refused"]

_LONGEST_QUOTA_SLEEP_S = 1.0


class ImportTrigger(BaseTrigger):
    """Fires when all imports have finished, when the deadline has passed, or when polling again makes no sense.

    The last case is, for example, an API key that Connectif refuses. The task then polls each import again and reports
    its result. The API key is read from the connection and stored nowhere. The client is the same as on workers. It
    occupies a thread only during a request.

    :param connectif_conn_id: the id of the connection to Connectif.
    :param import_ids: the ids of the imports.
    :param poll_interval_s: seconds between two polls of one import.
    :param deadline: in seconds since the epoch.
    :param carried: state for the task that is stored nowhere else, without personal data; ``None``: there is none.
    :param polls_left: the most polls that may still be sent. With a limit, the time between two polls grows, so that
        the polls last. ``None``: no limit.
    """

    def __init__(
        self,
        connectif_conn_id: str,
        import_ids: Sequence[str],
        poll_interval_s: float,
        deadline: float,
        carried: Mapping[str, Any] | None = None,
        polls_left: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no types
        self.connectif_conn_id = connectif_conn_id
        self.import_ids = list(import_ids)
        self.poll_interval_s = poll_interval_s
        self.deadline = deadline
        self.carried = carried
        self.polls_left = polls_left
        self._failures = 0  # polls in a row without a usable response
        self._retry_after_s: float | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, for Airflow's database."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "connectif_conn_id": self.connectif_conn_id,
            "import_ids": self.import_ids,
            "poll_interval_s": self.poll_interval_s,
            "deadline": self.deadline,
            "carried": self.carried,
            "polls_left": self.polls_left,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the imports in turn, then yield one event.

        Its payload: ``statuses``, the last status of each import that a response has shown, by import id; ``why``:
        ``finished``, ``deadline``, or ``refused`` if polling again makes no sense; ``requests`` and ``rate_limited``,
        the numbers of requests and of 429s; ``carried``, unchanged.
        """
        # The HTTP library is loaded when a trigger runs, not when a deferring process creates one.
        from asgiref.sync import sync_to_async

        from airflow_provider_connectif.api.errors import ConnectifConfigError
        from airflow_provider_connectif.hooks.connectif import ConnectifHook

        statuses: dict[str, str | None] = {}
        why: Why = "refused"
        requests = rate_limited = 0
        try:
            # Looking up a connection and masking its key are blocking calls of the supervisor. ``aget_connection``
            # exists from Airflow 3.1 on, but its masking blocks before 3.3.2. In the thread of ``sync_to_async`` both
            # calls work on every version; in a plain thread they do not work on 3.0 and 3.1.
            client = await sync_to_async(ConnectifHook(self.connectif_conn_id).get_conn)(connections=1)
            try:
                why = await self._wait(client, statuses)
            finally:
                client.abort()  # a request may still be running after the deadline or a cancellation
            requests, rate_limited = client.quota.requests, client.quota.rate_limited
        except ConnectifConfigError as error:
            # Only a warning: the worker may have other settings than the triggerer, and the task polls on the worker.
            FoldedLog(self.log).warning(wording.TRIGGER_GAVE_UP, error)
        yield TriggerEvent(
            {
                "statuses": statuses,
                "why": why,
                "requests": requests,
                "rate_limited": rate_limited,
                "carried": self.carried,
            }
        )

    async def _wait(self, client: ConnectifClient, statuses: dict[str, str | None]) -> Why:
        from airflow_provider_connectif.delivery.backoff import retry_delay_s
        from airflow_provider_connectif.imports.rules import Fate, poll_delay_s, spare_delay_s

        left, began_at = list(self.import_ids), time.time()
        while left:
            for import_id in list(left):
                try:
                    async with asyncio.timeout(self.deadline - time.time()):
                        fate = await self._poll(client, import_id, statuses)
                except TimeoutError:
                    return "deadline"
                if fate is None:
                    return "refused"
                if fate is not Fate.WAIT:
                    left.remove(import_id)
                    continue
                delay = retry_delay_s(self._failures, self._retry_after_s) if self._failures else 0.0
                polls_left = None if self.polls_left is None else self.polls_left - client.quota.requests
                spare = spare_delay_s(time.time() - began_at, polls_left)
                delay = max(poll_delay_s(self.poll_interval_s, len(left)), delay, spare)
                await sleep_until(min(time.time() + delay, self.deadline))
        return "finished"

    async def _poll(self, client: ConnectifClient, import_id: str, statuses: dict[str, str | None]) -> Fate | None:
        """Return the meaning of an import's state for the task; ``None`` if polling again makes no sense."""
        from airflow_provider_connectif.api.errors import (
            ConnectifHttpError,
            MalformedResponseError,
            NoResponseError,
            NotFoundError,
            TooManyRequestsError,
        )
        from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
        from airflow_provider_connectif.imports.rules import FATES, Fate

        failures, self._failures, self._retry_after_s = self._failures, 0, None
        try:
            status = (await self._get_import(client, import_id)).status
        except NotFoundError:
            return Fate.GONE
        except TooManyRequestsError:
            return Fate.WAIT  # the next request waits for the window
        except ConnectifHttpError as error:
            if ResponsePolicy().for_error(error) is Action.FAIL:
                return None
            self._failures, self._retry_after_s = failures + 1, error.retry_after
            return Fate.WAIT
        except (NoResponseError, MalformedResponseError):
            self._failures = failures + 1
            return Fate.WAIT
        statuses[import_id] = status
        return FATES.get(status, Fate.WAIT)

    async def _get_import(self, client: ConnectifClient, import_id: str) -> Import:
        # The wait for the rate limit is here, so that it occupies no thread. Only this trigger uses the client's quota,
        # so the request in the thread does not wait again.
        while (delay := client.quota.delay_s()) > 0:
            await asyncio.sleep(min(delay, _LONGEST_QUOTA_SLEEP_S))
        return await in_thread(partial(client.get_import, import_id))
