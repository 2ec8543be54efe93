"""Finds the interruption of a task, such as its time limit, behind an error that has replaced it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def reveal_interruption(action: Callable[[], T]) -> T:
    """Run an action on a database. If its error has replaced an interruption, raise the interruption.

    Airflow's time limit and Ctrl-C raise an exception wherever the task is, also inside SQLAlchemy or a driver. Their
    clean-up then meets a connection on which a statement is still running, and may raise an error of its own, which
    looks like an error of the database.

    An interruption that is being handled while this function is called is not raised again. Otherwise an error of the
    database would end the handling too early.
    """
    handled = sys.exception()
    try:
        return action()
    except Exception as error:  # of any class: drivers raise TypeError and RuntimeError, too
        interruption = _interruption_behind(error, handled)
        if interruption is None:
            raise
    # Raised outside the handler. Otherwise the driver's error, which may quote values, would be its context.
    raise interruption


def _interruption_behind(error: BaseException, handled: BaseException | None) -> BaseException | None:
    """Return the interruption in whose handling an error was raised; ``None`` if there is none.

    :param handled: an exception that is older than the action.
    """
    to_check: list[BaseException | None] = [error]
    checked = {id(None), id(handled)}
    while to_check:
        one = to_check.pop()
        if one is None or id(one) in checked:
            continue
        if not isinstance(one, (Exception, GeneratorExit)):
            return one
        checked.add(id(one))
        to_check += [one.__context__, one.__cause__]
    return None
