"""Errors that end sending and are not responses: they name the code that failed, without values that it may quote."""

from __future__ import annotations

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.formats import one
from airflow_provider_connectif.reporting.places import is_of_this_package, place_of


class SendingFailed(RunFailed):
    """A method of the resource, or this package, raised an error that is no response to a request.

    :param resource: the resource of the change.
    :param error: the error. Its text may quote a value, and is left out.
    :param may_have_been_sent: whether the change may have been sent.
    """

    def __init__(self, resource: Resource, error: BaseException, *, may_have_been_sent: bool) -> None:
        author = type(resource)
        what = f"{type(error).__name__}{place_of(error.__traceback__, author)}"
        blame = "a fault of this provider, please report it" if is_of_this_package(author) else author.__name__
        super().__init__(
            f"sending {one(resource.noun)} failed with {what} ({blame}). "
            f"The error's message may quote a value and is not shown; this {resource.noun} "
            f"{'may have arrived' if may_have_been_sent else 'was not sent'}"
        )


def sending_failure(resource: Resource, error: BaseException, *, may_have_been_sent: bool = True) -> RunFailed:
    """Return the error that ends the run.

    A :class:`RunFailed` is returned unchanged, since its text is safe to show. Another error becomes a
    :class:`SendingFailed`.

    :param resource: the resource of the changes.
    :param error: the error that ended a sending thread, or kept a change from being queued.
    :param may_have_been_sent: as in :class:`SendingFailed`.
    """
    return (
        error if isinstance(error, RunFailed) else SendingFailed(resource, error, may_have_been_sent=may_have_been_sent)
    )
