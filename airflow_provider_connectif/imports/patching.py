"""Contacts of an import that go by PATCH, where the API key may write contacts."""

from __future__ import annotations

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError
from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.delivery.sender import Send
from airflow_provider_connectif.records.changes import Patch


def _nothing_to_send_by(patch: Patch, *, on_fresh_connection: bool = False) -> Answer:
    raise RuntimeError("a sender must be made first")


class FirstPatch:
    """Shows by the first PATCH whether the key may write contacts; the sender then gets its response.

    Without that, such a key would end the run, although it can import.
    """

    def __init__(self) -> None:
        self._send: Send = _nothing_to_send_by
        self._patch: Patch | None = None
        self._response: Answer | Exception | None = None

    def through(self, send: Send) -> Send:
        """Send by this; what was sent already is not sent again."""
        self._send = send
        return self._replayed

    def is_allowed(self, patch: Patch) -> bool:
        """Send a patch; whether the response is something else than that the key may not."""
        self._patch = patch
        try:
            self._response = self._send(patch)
        except (ConnectifHttpError, NoAnswerError) as error:
            self._response = error
            is_forbidden = isinstance(error, ConnectifHttpError) and error.status == 403
            return not (is_forbidden and ResponsePolicy().for_error(error) is Action.FAIL)
        return True

    def _replayed(self, patch: Patch, *, on_fresh_connection: bool = False) -> Answer:
        is_first = self._patch is not None and patch.number == self._patch.number and not on_fresh_connection
        response = self._response if is_first else None
        if response is None:
            return self._send(patch, on_fresh_connection=on_fresh_connection)
        self._response = None
        if isinstance(response, Exception):
            raise response
        return response
