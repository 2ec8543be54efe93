"""Errors that end a sending thread: whose code failed, and where, without the values that an error may quote."""

from __future__ import annotations

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.places import is_of_this_package, place_of


class SendingFailed(RunFailed):
    """A method of the resource, or this package, raised an error that is no response to a request.

    :param resource: of the changes.
    :param error: its text may quote a value and is left out.
    """

    def __init__(self, resource: Resource, error: BaseException) -> None:
        author = type(resource)
        what = f"{type(error).__name__}{place_of(error.__traceback__, author)}"
        blame = "a fault of this provider, please report it" if is_of_this_package(author) else author.__name__
        super().__init__(
            f"sending a {resource.noun} failed with {what} ({blame}). "
            f"The error's message may quote a value and is not shown; this {resource.noun} may have arrived"
        )


def sending_failure(resource: Resource, error: BaseException) -> RunFailed:
    """Return the error that ends the run: an error whose text is safe to show, as it is; otherwise where it was raised.

    :param resource: of the changes.
    :param error: that ended a sending thread.
    """
    return error if isinstance(error, RunFailed) else SendingFailed(resource, error)
