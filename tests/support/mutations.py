"""Mutations: a defence or a decision of the package taken out, to see which test notices.

A mutation names an attribute of a module and says what stands there instead. It is applied to a copy of the package, as
lines at the end of the module's file: so it holds in every process, also in those of an installed wheel, and however
the file is formatted. :func:`faults_of` says in the ordinary run whether the attribute is still there.
"""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import inspect
import itertools
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

from tests.support.prepared_python import PACKAGE, ROOT, PreparedPython

_OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "pytest_timeout", "--timeout=30", "--timeout-method=signal")

_WRAP = """

def _replaced(original, replacement):
    import functools

    if isinstance(original, property):
        return property(lambda self: replacement(original.fget, self))
    if isinstance(original, classmethod):
        return classmethod(lambda cls, *given, **named: replacement(original.__get__(None, cls), *given, **named))

    @functools.wraps(original)
    def replaced(*given, **named):
        return replacement(original, *given, **named)

    return replaced


"""


@dataclass(frozen=True)
class Mutation:
    """One way to break the package.

    :param name: what is broken.
    :param address: ``module:attribute`` below the package, such as ``api.transport:Transport.request``.
    :param caught_by: the test that must fail.
    :param code: what is appended to the module.
    :param replacement: the function that stands in the place of another one.
    """

    name: str
    address: str
    caught_by: str
    code: str
    replacement: Callable[..., Any] | None = None

    @property
    def module(self) -> str:
        """The module, below the package."""
        return self.address.partition(":")[0]

    @property
    def attribute(self) -> str:
        """The attribute, with its class, if it has one; empty where code is only added."""
        return self.address.partition(":")[2]


class Mutations:
    """A table of mutations."""

    def __init__(self) -> None:
        self._all: list[Mutation] = []

    def __iter__(self) -> Iterator[Mutation]:
        return iter(self._all)

    def instead_of(self, address: str, *caught_by: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """The decorated function is called instead of another one, which it gets as its first argument.

        Its global names are those of the mutated module.
        """

        def add(replacement: Callable[..., Any]) -> Callable[..., Any]:
            definition = ast.parse(textwrap.dedent(inspect.getsource(replacement))).body[0]
            assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
            definition.decorator_list = []
            name = definition.name
            definition.name = f"_{name}"
            code = _WRAP + ast.unparse(definition) + "\n\n\n" + _assigned(address, f"_replaced(original, _{name})")
            self._add(name, address, caught_by, code, replacement)
            return replacement

        return add

    def value(self, name: str, address: str, expression: str, *caught_by: str) -> None:
        """An attribute has another value: an expression in the mutated module, where ``original`` is the one it had."""
        self._add(name, address, caught_by, "\n\n" + _assigned(address, expression))

    def added(self, name: str, module: str, code: str, *caught_by: str) -> None:
        """A module has more lines at its end."""
        self._add(name, f"{module}:", caught_by, f"\n{code}\n")

    def _add(
        self,
        name: str,
        address: str,
        caught_by: tuple[str, ...],
        code: str,
        replacement: Callable[..., Any] | None = None,
    ) -> None:
        assert caught_by, name
        self._all += [Mutation(name.replace("_", " "), address, test, code, replacement) for test in caught_by]


def _assigned(address: str, expression: str) -> str:
    owner, _, attribute = address.partition(":")[2].rpartition(".")
    if not owner:
        return f"{attribute} = (lambda original: {expression})({attribute})\n"
    # Not by the dot: a property or a class method must come as it stands in the class.
    was = f"vars({owner})[{attribute!r}]"
    return f"setattr({owner}, {attribute!r}, (lambda original: {expression})({was}))\n"


def ids(mutations: Iterable[Mutation]) -> list[str]:
    """For ``pytest.mark.parametrize``."""
    return [f"{mutation.name} ({mutation.caught_by.partition('::')[2]})" for mutation in mutations]


def faults_of(mutation: Mutation) -> list[str]:
    """What a mutation names and the package does not have, and the parameters that its replacement would not take."""
    module = import_module(f"{PACKAGE}.{mutation.module}")
    owner: Any = module
    *classes, last = mutation.attribute.split(".")
    for name in classes:
        if name not in vars(owner):
            return [f"{mutation.address}: no {name}"]
        owner = vars(owner)[name]
    if last and last not in vars(owner):
        return [f"{mutation.address}: no {last}"]
    if mutation.replacement is None:
        return []
    known = {*vars(module), *dir(builtins)}
    unknown = [name for name in sorted(_global_names(mutation.replacement)) if name not in known]
    original = vars(owner)[last]
    if isinstance(original, property):
        original = original.fget
    elif isinstance(original, classmethod):
        original = original.__get__(None, owner)  # without the class, as the replacement gets it
    has = inspect.signature(original).parameters
    _, *asked = inspect.signature(mutation.replacement).parameters.values()
    missing = [each.name for each in asked if each.kind not in _ANY and each.name not in has]
    faults = [f"{mutation.address}: no {name}" for name in [*unknown, *missing]]
    if not any(each.kind in _ANY for each in asked):
        # Otherwise the test fails because the replacement cannot be called, and shows nothing.
        taken = {each.name for each in asked}
        faults += [f"{mutation.name}: does not take {name}" for name in has if name not in taken]
    return faults


def is_there(mutation: Mutation, tests: str) -> bool:
    """Whether the test that must fail exists.

    :param tests: where the file of the test is, such as ``tests/security``.
    """
    file, _, test = mutation.caught_by.partition("::")
    return test.partition("[")[0] in _functions(ROOT / tests / file)


@functools.cache
def _functions(path: Path) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }


_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _global_names(function: Callable[..., Any]) -> set[str]:
    codes, names = [function.__code__], set()
    while codes:
        code = codes.pop()
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
        names |= {str(each.argval) for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    return names


def apply(mutation: Mutation, package: Path) -> None:
    """Break a copy of the package."""
    with _file_of(mutation, package).open("a", encoding="utf-8") as file:
        file.write(mutation.code)


def _file_of(mutation: Mutation, package: Path) -> Path:
    path = package / f"{mutation.module.replace('.', '/')}.py"
    return path if path.exists() else path.with_suffix("") / "__init__.py"


@contextmanager
def broken(mutation: Mutation, package: Path) -> Iterator[None]:
    """Break a copy of the package, and repair it afterwards."""
    path = _file_of(mutation, package)
    whole = path.read_text(encoding="utf-8")
    apply(mutation, package)
    _stamp(path)
    try:
        yield
    finally:
        path.write_text(whole, encoding="utf-8")
        _stamp(path)


_moments = itertools.count(1_000_000_000)


def _stamp(path: Path) -> None:
    """Give a file a time of its own: Python takes a compiled module for that of another file of the same size and
    second.
    """
    moment = next(_moments)
    os.utime(path, (moment, moment))


def fails_without(mutation: Mutation, python: PreparedPython, tests: str) -> None:
    """Run a mutation's test: it must fail, and not break.

    :param tests: where the file of the test is, such as ``tests/security``.
    """
    with broken(mutation, python.folder / PACKAGE):
        done = python.run(*_OPTIONS, f"{tests}/{mutation.caught_by}")
    summary = (done.output.strip().splitlines() or [""])[-1]
    assert done.returncode == 1, done.output
    assert re.search(r"\b1 failed", summary), f"the test must fail, and not break: {summary}"
