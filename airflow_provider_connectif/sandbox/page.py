"""The page at ``/``: the requests, their responses, and the used part of the window. No scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from itertools import islice

from airflow_provider_connectif.sandbox.account import Contact
from airflow_provider_connectif.sandbox.import_list import Import
from airflow_provider_connectif.sandbox.page_style import STYLE
from airflow_provider_connectif.sandbox.state import SandboxState

SHOWN_CONTACTS = 50
SHOWN_IMPORTS = 20
REFRESH_S = 2

_LONGEST_VALUE = 120

# Shown in columns of their own, or the same for every contact.
_NOT_LISTED = frozenset({"id", "_email", "_externalId", "_isAnonymous", "_createdAt", "_updatedAt"})

# The class of a status, for its colour; the code itself is always there as text.
_STATUS_CLASSES = {"2": "good", "4": "refused", "5": "failed", "d": "failed"}


def overview_page(state: SandboxState) -> str:
    """Return the whole page. Every value that came from outside is escaped."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{REFRESH_S}">
<title>Connectif sandbox: {len(state.account):,} in the account</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>Connectif sandbox</h1><p>A stand-in for the API. Nothing here reaches a real account.</p></header>
<main>
{_window_section(state)}
{_requests_section(state)}
{_imports_section(state)}
{_contacts_section(state)}
</main>
</body>
</html>
"""


def _window_section(state: SandboxState) -> str:
    window = state.window.peek()
    if not window.limit:
        content = f"<p class=figure>{state.log.total:,}<small> requests, no limit</small></p>"
    else:
        used = window.limit - window.remaining
        if window.reset_in_s:
            opens = f"a new window opens in {window.reset_in_s:.0f} s"
        else:
            opens = "the next request opens a window"
        content = (
            f"<p class=figure>{used:,}<small> of {window.limit:,} requests used</small></p>"
            f"{_bar(used, window.limit, 'refused' if not window.remaining else 'good')}<p>{opens}</p>"
        )
    return _section("window", "Rate window", content)


def _requests_section(state: SandboxState) -> str:
    counts = state.log.by_status
    most = max(counts.values(), default=0)
    rows = "".join(
        f'<tr><th scope="row">{escape(status)}</th><td class=number>{count:,}</td>'
        f"<td class=wide>{_bar(count, most, _STATUS_CLASSES.get(status[0], 'other'))}</td></tr>"
        for status, count in sorted(counts.items())
    )
    head = '<tr><th scope="col">Status</th><th scope="col">Requests</th><td></td></tr>'
    content = _table(head, rows) if rows else "<p>No request has come in yet.</p>"
    return _section("requests", "Requests by status", content)


def _imports_section(state: SandboxState) -> str:
    rows = "".join(_import_row(one) for one in islice(state.imports.latest_first(), SHOWN_IMPORTS))
    names = ("Import", "Status", "Rows", "Taken", "Refused", "UTC")
    head = "<tr>" + "".join(f'<th scope="col">{name}</th>' for name in names) + "</tr>"
    content = _table(head, rows) if rows else "<p>No file has arrived yet.</p>"
    return _section("imports", "Imports", content)


def _import_row(one: Import) -> str:
    numbers = "".join(f"<td class=number>{number:,}</td>" for number in (one.total, one.success, one.errors))
    created = one.times["createdAt"]
    return (
        f'<tr><th scope="row">{escape(one.id.lstrip("0"))} ({escape(one.origin)})</th><td>{_shown(one.status)}</td>'
        f'{numbers}<td><time datetime="{escape(created)}">{escape(created[11:19])}</time></td></tr>'
    )


def _contacts_section(state: SandboxState) -> str:
    total = len(state.account)
    rows = "".join(_contact_row(contact) for contact in islice(state.account.latest_first(), SHOWN_CONTACTS))
    note = f", the latest {SHOWN_CONTACTS} below" if total > SHOWN_CONTACTS else ""
    head = '<tr><th scope="col">Contact</th><th scope="col">Properties</th><th scope="col">UTC</th></tr>'
    table = _table(head, rows) if rows else "<p>No contact has arrived yet.</p>"
    figure = f"<p class=figure>{total:,}<small> in the account{note}</small></p>"
    return _section("contacts", "Contacts", figure + table)


def _contact_row(contact: Contact) -> str:
    keys = "<br>".join(_shown(contact[name]) for name in ("_email", "_externalId") if name in contact)
    properties = "".join(
        f"<div><dt>{_shown(name)}</dt><dd>{_shown(value)}</dd></div>"
        for name, value in contact.items()
        if name not in _NOT_LISTED
    )
    written = str(contact["_updatedAt"])
    clock = f'<time datetime="{escape(written)}">{escape(written[11:19])}</time>'
    return f'<tr><th scope="row">{keys}</th><td><dl>{properties}</dl></td><td>{clock}</td></tr>'


def _section(name: str, title: str, content: str) -> str:
    return f'<section class={name} aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'


def _table(head: str, rows: str) -> str:
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _shown(value: object) -> str:
    if isinstance(value, list):
        text = ", ".join(_texts(value))
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return escape(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…")


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]


def _bar(part: int, whole: int, kind: str) -> str:
    # Hidden from screen readers: the same figure always stands next to it as text.
    percent = 100 * part / whole if whole else 0
    return f'<div class="bar {kind}" aria-hidden="true"><i style="width:{percent:.1f}%"></i></div>'
