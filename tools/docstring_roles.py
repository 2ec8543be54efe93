"""Turns the reST of docstrings into Markdown for the docs site, as far as Markdown does not know it."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([\w.]+)`")


class DocstringRoles(griffe.Extension):
    """Turns each role into a link if its target is on the site, and otherwise into code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Convert the docstring of an object before it is read."""
        if obj.docstring is not None:
            # A double colon begins a literal block in reST. Markdown would show the second colon.
            obj.docstring.value = _ROLE.sub(_link, obj.docstring.value).replace("::\n\n", ":\n\n")


def _link(role: re.Match[str]) -> str:
    target = role.group(1)
    return f'<autoref optional identifier="{target}"><code>{target.rpartition(".")[2]}</code></autoref>'
