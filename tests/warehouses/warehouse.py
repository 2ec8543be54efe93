"""What the tests ask of each database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal

CHECKBOX: Mapping[str, Any] = {
    "type": "checkbox",
    "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}],
}
VALUE = "ana@example.com"
"""A person's value, which no message may have in it."""


@dataclass(frozen=True)
class Refused:
    """A value that makes its row invalid.

    :param words: of the reason.
    """

    words: str


Type = tuple[Any, Any, Any]
"""An expression (or a column and its value in a fake server's form), the field's definition, and what is sent."""
Statement = tuple[str, Any, str]
"""SQL, its parameters, and words that the message must have."""


@dataclass
class Warehouse:
    """One database.

    :param name: for the table.
    :param how: ``run``: its own server or engine; ``stub``: a fake stands for its server.
    :param conn_id: the connection.
    :param packages: whose versions the table names.
    :param big: a statement that gives so many rows of ``email`` and ``visits``.
    :param wrong: statements that are final, by what is wrong with them.
    :param of_a_row: a statement whose error quotes :data:`VALUE`.
    :param types: of its columns, by name.
    :param typed: the statement that gives a row with these columns, by their names.
    :param cut: ends its connections; ``None``: it has none.
    :param server: its version, if there is a server.
    """

    name: str
    how: Literal["run", "stub"]
    conn_id: str
    packages: Sequence[str]
    big: Callable[[int], str]
    wrong: Mapping[str, Statement]
    of_a_row: str
    types: Mapping[str, Type]
    typed: Callable[[Sequence[str]], str]
    cut: Callable[[], None] | None = None
    server: str = ""
    journal: str = "refused"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def versions(self) -> str:
        """Of its server and packages."""
        named = [f"{package} {version(package)}" for package in self.packages]
        return ", ".join([*([self.server] if self.server else []), *named])


def select_of(types: Mapping[str, Type], names: Sequence[str], after: str = "") -> str:
    """One row with columns of these types."""
    columns = ", ".join(f"{types[name][0]} as {name}" for name in names)
    return f"select '{VALUE}' as email, {columns}{after}"
