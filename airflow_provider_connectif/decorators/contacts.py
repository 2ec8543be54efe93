"""``@task.connectif_patch``: turns a function that returns rows into a task that delivers them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    SET_DURING_EXECUTION,
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_connectif.databases.read_errors import function_error
from airflow_provider_connectif.databases.sources import RowsError, RowsSource
from airflow_provider_connectif.databases.sql_source import SqlSource
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.reporting import wording

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskDecorator


class ContactPatchDecoratedOperator(DecoratedOperator, ContactPatchOperator):
    """Delivers the rows that a function returns or yields, in the same process.

    No row passes through XCom, and only a few thousand rows of a generator are in memory at a time. The function is
    called when the first row is needed, and all its rows are read before the first request. When a deferred task
    continues with its plan, the function is not called again. If the function raises an error, nothing is sent, the
    task fails, and a retry calls the function again.

    :param python_callable: a function that returns an iterable of mappings from column to value, or a generator of such
        mappings.
    :param op_args: positional arguments for the function (templated).
    :param op_kwargs: keyword arguments for the function (templated); the task's context is passed as in ``@task``.
    :param kwargs: as in :class:`airflow_provider_connectif.operators.contacts.ContactPatchOperator`, except ``rows``
        and ``sql``.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *ContactPatchOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **ContactPatchOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.connectif_patch"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if taken := {"rows", "sql"} & kwargs.keys():
            raise ValueError(f"@task.connectif_patch takes its rows from the function: leave out {', '.join(taken)}")
        super().__init__(
            python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, rows=SET_DURING_EXECUTION, **kwargs
        )

    def execute(self, context: Any) -> dict[str, Any]:
        """Deliver the rows; see :meth:`airflow_provider_connectif.operators.base.SyncOperator.execute`."""
        # ``DecoratedOperator.execute`` would push the summary itself; on Airflow 3.0 an operator cannot do that.
        return ContactPatchOperator.execute(self, context)

    def dry_run(self) -> None:
        """Log that there is no dry run: the function is called only in a run."""
        self.log.warning(wording.NO_DRY_RUN_OF_FUNCTION)

    def _open_source(self, context: Any) -> RowsSource | SqlSource:
        context_merge(context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, context)
        self.rows = self._called(kwargs)
        if self.rows is None:
            raise RowsError(
                f"{self.python_callable.__name__}() returned nothing: it must return its rows, or yield them. "
                "For no rows at all it must return an empty list"
            )
        return super()._open_source(context)

    def _called(self, kwargs: Mapping[str, Any]) -> Any:
        """Return the function's result. If an error of the function may quote a value, raise it without its message."""
        try:
            return self.python_callable(*self.op_args, **kwargs)
        except Exception as error:  # an error that quotes no value is raised unchanged
            fault = function_error(error)
            if fault is None:
                raise
        raise fault

    def _describe_source(self) -> str:
        return f"the rows of {self.python_callable.__name__}()"


def connectif_patch_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Turn a function that returns or yields rows into a task. It implements ``@task.connectif_patch``.

    :param python_callable: the function.
    :param kwargs: arguments for :class:`ContactPatchDecoratedOperator`.
    """
    # ``multiple_outputs`` is not inferred from the function's annotation: that describes rows, and the task returns its
    # summary.
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=kwargs.pop("multiple_outputs", False),
        decorated_operator_class=ContactPatchDecoratedOperator,
        **kwargs,
    )
