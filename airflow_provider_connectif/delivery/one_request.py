"""Sends one request for one change: chooses the part that it carries, and records it first if needed."""

from __future__ import annotations

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.delivery.doubts import DoubtGate, is_in_doubt_once_sent
from airflow_provider_connectif.delivery.jobs import Job
from airflow_provider_connectif.records.outcomes import Error
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource


class OneRequest:
    """Sends one request for a job; called by each of the threads that send.

    :param resource: sends one change and raises the client's errors.
    :param client: paces the requests by its quota.
    :param gate: where a job waits until it is recorded.
    :param clock: measures the age of the plan.
    :param poll_s: a stop is noticed at the gate within these seconds.
    :param checks_suppression: whether each request waits at the gate until the suppression list was read for it.
    """

    def __init__(
        self,
        resource: Resource,
        client: Client,
        gate: DoubtGate,
        clock: Clock,
        poll_s: float,
        *,
        checks_suppression: bool = False,
    ) -> None:
        self._checks_suppression = checks_suppression
        self._resource = resource
        self._client = client
        self._gate = gate
        self._clock = clock
        self._poll_s = poll_s
        self._planned_at = clock.now()

    def begin(self, planned_at: float, resource: Resource) -> None:
        """Begin a plan, before its first request.

        :param planned_at: when the plan was made, in seconds since the epoch.
        :param resource: sends the changes of the plan.
        """
        self._planned_at = planned_at
        self._resource = resource

    def send(self, job: Job) -> Response | Error | None:
        """Send a request for a job, and return its response or error.

        :return: ``None``: the job's person is suppressed, and nothing was sent.
        :raises RunStopped: sending has ended; nothing was sent.
        """
        job.patch = self._resource.next_request(job.patch, self._clock.now() - self._planned_at)
        must_be_recorded = self._must_be_recorded(job)
        if (self._checks_suppression or must_be_recorded) and not self._gate.wait(
            job, self._poll_s, must_be_recorded=must_be_recorded
        ):
            return None
        try:
            return self._resource.send(self._client, job.patch, on_fresh_connection=job.on_fresh_connection)
        except (ConnectifHttpError, NoResponseError) as failure:
            return failure

    def _must_be_recorded(self, job: Job) -> bool:
        """Whether the journal must record the change before the request is sent."""
        if not self._resource.is_idempotent:
            return True
        return not job.is_recorded and is_in_doubt_once_sent(job.patch)
