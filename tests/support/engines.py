"""Lets SQLAlchemy compile a statement once in a process, and not once for each engine.

A task in production has one engine. Tests make thousands, and half of a journal's test was spent in the compiler.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

_KNOWN_OPTIONS = {
    *("connect_args", "hide_parameters", "isolation_level", "max_overflow", "pool_pre_ping", "pool_size", "poolclass"),
}
"""Options about connections; others may change what a statement is compiled to."""


@pytest.fixture(scope="session", autouse=True)
def _statements_are_compiled_once() -> Iterator[None]:
    """New engines share the dialect and the compiled statements of earlier ones to the same server."""
    create = sa.create_engine
    earlier: dict[Hashable, sa.Engine] = {}

    def create_engine(*place: Any, **options: Any) -> sa.Engine:
        engine = create(*place, **options)
        if not options.keys() <= _KNOWN_OPTIONS:
            return engine
        # Every SQLite file is the same to its dialect.
        server = "sqlite" if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=False)
        key = (server, engine.dialect.driver, options.get("isolation_level"))
        if key in earlier:
            engine.dialect = engine.pool._dialect = earlier[key].dialect
            engine._compiled_cache = earlier[key]._compiled_cache
        else:  # the dialect asks the server at its first connection, before this listener is called
            sa.event.listen(engine, "connect", lambda *_: earlier.setdefault(key, engine))
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sa, "create_engine", create_engine)
        yield
