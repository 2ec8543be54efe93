"""An account that responds by the number of a change, without HTTP: the wire of the tests of sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_provider_connectif.api.errors import error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.rate_headers import NO_SIGNAL, RateSignal
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.resource import Resource
from tests.support.clock import FakeClock

WINDOW_S = 300.0


class Account(Resource):
    """Responds by the number of the change, with a function of the test. It stands for resource and client.

    :param window: requests that it allows in five minutes.
    """

    is_idempotent = True

    def __init__(self, quota: Quota, clock: FakeClock, answer: Callable[[int], Response], window: int = 1_000) -> None:
        self.quota, self.clock, self.answer = quota, clock, answer
        self.window = self.left = window
        self.ends_at = WINDOW_S
        self.sent: list[int] = []

    def same_key(self, key: str) -> str:
        return key

    def send(self, client: Account, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
        sent_at = self.quota.acquire()
        now = self.clock.monotonic()
        if now >= self.ends_at:
            self.left, self.ends_at = self.window, now + WINDOW_S
        self.left -= 1
        self.sent.append(patch.number)
        signal = RateSignal(self.window, max(0, self.left), self.ends_at - now, reset_is_whole=False)
        try:
            return self.answer(patch.number)
        finally:
            self.quota.release(sent_at, signal if self.window < 100 else NO_SIGNAL)

    def patch_contact(self, key: str, properties: Mapping[str, JsonValue], **_: object) -> Response:
        """As the client of contacts, with the numbers of their changes in their keys, if there are any."""
        return self.send(self, Patch(int("".join(filter(str.isdigit, key)) or 0), key, properties, {}))


def accept(_: int) -> Response:
    return Response(200)


def asks(seconds: float, *numbers: int) -> Callable[[int], Response]:
    """Changes with these numbers get a 503 that asks to be left alone."""

    def answer(number: int) -> Response:
        if number in numbers:
            raise error_class(503)(503, retry_after=seconds)
        return Response(200)

    return answer
