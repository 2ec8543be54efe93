"""For the docs site: the reST of the docstrings that Markdown does not know, in Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([\w.]+)`")


class DocstringRoles(griffe.Extension):
    """Makes a link out of each role, where its target has a place on the site, and code of it where not."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each object before its docstring is read."""
        if obj.docstring is not None:
            # A literal block's double colon, whose second one Markdown would show.
            obj.docstring.value = _ROLE.sub(_link, obj.docstring.value).replace("::\n\n", ":\n\n")


def _link(role: re.Match[str]) -> str:
    target = role.group(1)
    return f'<autoref optional identifier="{target}"><code>{target.rpartition(".")[2]}</code></autoref>'
