"""The page at ``/``: requests and their responses, refusals, windows, imports and contacts. No scripts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from html import escape
from itertools import islice

from airflow_provider_connectif.look.bands import GROUPS, Part, draw
from airflow_provider_connectif.look.markup import moment, number, plain, shown
from airflow_provider_connectif.sandbox.account import Account, Contact
from airflow_provider_connectif.sandbox.import_list import Import
from airflow_provider_connectif.sandbox.page_style import STYLE
from airflow_provider_connectif.sandbox.page_windows import windows_section
from airflow_provider_connectif.sandbox.refusals import KEPT_REFUSALS, Refusal
from airflow_provider_connectif.sandbox.request_log import DROPPED
from airflow_provider_connectif.sandbox.state import SandboxState

SHOWN_CONTACTS = 50
SHOWN_IMPORTS = 20
OPEN_REFUSALS = 10
"""The number of refused requests that the page shows at once. A click shows the earlier ones."""
REFRESH_S = 2

_KEYS = ("_email", "_externalId")

# The meaning of a status for the client, by the first digit of the status.
_GROUP_OF_STATUS = {"2": "delivered", "4": "refused"}
_TO_BE_RETRIED = "undelivered"
_WORDS_OF_STATUS = {
    "200": "OK",
    "201": "created",
    "204": "no content",
    "400": "bad request",
    "401": "wrong key",
    "403": "not allowed",
    "404": "not found",
    "413": "too large",
    "415": "wrong type",
    "422": "invalid",
    "429": "too many",
    "503": "unavailable",
}
"""Short words for a status: the picture of the requests has little room."""


class View(StrEnum):
    """The kinds of the page, by the query of its address.

    ``LIVE``: it reloads itself. ``STILL``: it does not. ``COPY``: it is to be saved as a file, and has no link to
    reload.
    """

    LIVE = ""
    STILL = "still"
    COPY = "copy"


def overview_page(state: SandboxState, view: View = View.LIVE) -> str:
    """Return the whole page. Every value from outside is escaped."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_S}">\n' if view is View.LIVE else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh}<title>Connectif sandbox: {number(len(state.account))} in the account</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<main id="content">
<h1>Connectif sandbox</h1>
<p>A stand-in for the API. Nothing here reaches a real account. {_renewal(view)}</p>
{_connection_section(state)}
<div class="columns">
{_requests_section(state)}
{windows_section(state.window)}
</div>
{_refusals_section(state)}
{_imports_section(state)}
{_contacts_section(state.account)}
</main>
</body>
</html>
"""


def _renewal(view: View) -> str:
    if view is View.LIVE:
        return f'This page renews itself every {REFRESH_S} seconds: <a href="/?{View.STILL}">hold it still</a>.'
    if view is View.STILL:
        return f'As it was at {moment(datetime.now(UTC))}: <a href="/">renew it</a>.'
    return f"As it was at {moment(datetime.now(UTC))}."


def _connection_section(state: SandboxState) -> str:
    first, *others = state.settings.api_keys
    connection = {"conn_type": "connectif", "host": state.address, "password": first.pair}
    command = f"export AIRFLOW_CONN_CONNECTIF_DEFAULT={shlex.quote(json.dumps(connection))}"
    more = f"<p>API keys beside this one: {len(others)}.</p>" if others else ""
    return _section("connection", "The connection", f"<pre><code>{escape(command)}</code></pre>{more}")


def _requests_section(state: SandboxState) -> str:
    groups = list(GROUPS)
    parts = sorted(map(_part, state.log.by_status.items()), key=lambda part: (groups.index(part.group), part.words))
    if not parts:
        return _section("requests", "Requests", "<p>No request has come in yet.</p>")
    rows = "".join(
        f'<tr><td>{shown(endpoint)}</td><td class="n" data-name="requests">{number(count)}</td></tr>'
        for endpoint, count in state.log.by_endpoint.most_common()
    )
    picture = draw(f"{number(state.log.total)} requests", parts)
    return _section("requests", "Requests", picture + _table(("Endpoint", "Requests"), rows, numbers=(1,)))


def _part(status_and_count: tuple[str, int]) -> Part:
    status, count = status_and_count
    if status == DROPPED:
        return Part(_TO_BE_RETRIED, "without a response", count)
    group = _TO_BE_RETRIED if status == "429" else _GROUP_OF_STATUS.get(status[0], _TO_BE_RETRIED)
    words = _WORDS_OF_STATUS.get(status)
    return Part(group, f"with {status}, {words}" if words else f"with {status}", count)


def _refusals_section(state: SandboxState) -> str:
    total = state.refusals.total
    if not total:
        return _section("refused", "Refused requests", "<p>No request was refused.</p>")
    note = f", the latest {KEPT_REFUSALS} below" if total > KEPT_REFUSALS else ""
    figure = f'<p class="figure">{number(total)}<small> refused{note}</small></p>'
    rows = list(map(_refusal_row, state.refusals.latest_first()))
    latest, others = _refusals_table(rows[:OPEN_REFUSALS]), rows[OPEN_REFUSALS:]
    summary = f"<summary>{number(len(others))} before them</summary>"
    more = f"<details>{summary}{_refusals_table(others)}</details>" if others else ""
    return _section("refused", "Refused requests", figure + latest + more)


def _refusals_table(rows: Sequence[str]) -> str:
    return _table(("At (UTC)", "Request", "Contact", "Status", "Reason"), "".join(rows), numbers=(3,))


def _refusal_row(refusal: Refusal) -> str:
    return (
        f"<tr><td>{_clock(refusal.time)}</td>"
        f'<td class="whole">{shown(f"{refusal.method} {refusal.path}")}</td>'
        f'<td class="key" data-name="contact">{shown(refusal.key) if refusal.key is not None else "–"}</td>'
        f'<td class="n" data-name="status">{refusal.status or "–"}</td>'
        f'<td class="bad">{shown(refusal.reason)}</td></tr>'
    )


def _imports_section(state: SandboxState) -> str:
    rows = "".join(_import_row(one) for one in islice(state.imports.latest_first(), SHOWN_IMPORTS))
    heads = ("Import", "Status", "Rows", "Taken", "Refused", "Created (UTC)")
    content = _table(heads, rows, numbers=(2, 3, 4)) if rows else "<p>No file has arrived yet.</p>"
    return _section("imports", "Imports", content)


def _import_row(one: Import) -> str:
    counts = (("rows", one.total), ("taken", one.success), ("refused", one.errors))
    numbers = "".join(f'<td class="n" data-name="{name}">{number(count)}</td>' for name, count in counts)
    return (
        f"<tr><td>{shown(one.id.lstrip('0'))} ({shown(one.origin)})</td><td>{shown(one.status)}</td>{numbers}"
        f"<td>{_clock(one.times['createdAt'])}</td></tr>"
    )


def _contacts_section(account: Account) -> str:
    total = len(account)
    rows = "".join(_contact_row(account, contact) for contact in islice(account.latest_first(), SHOWN_CONTACTS))
    note = f", the latest {SHOWN_CONTACTS} below" if total > SHOWN_CONTACTS else ""
    table = (
        _table(("Contact", "What was sent", "Written (UTC)"), rows) if rows else "<p>No contact has arrived yet.</p>"
    )
    figure = f'<p class="figure">{number(total)}<small> in the account{note}</small></p>'
    return _section("contacts", "Contacts", figure + table)


def _contact_row(account: Account, contact: Contact) -> str:
    keys = "<br>".join(shown(contact[name]) for name in _KEYS if name in contact)
    was_sent = account.sent(contact)
    sent = "".join(
        f"<div><dt>{shown(name)}</dt><dd>{_value(value)}</dd></div>"
        for name, value in contact.items()
        if name in was_sent and name not in _KEYS
    )
    return (
        f'<tr><td class="key"><b>{keys}</b></td><td><dl class="sent">{sent}</dl></td>'
        f"<td>{_clock(str(contact['_updatedAt']))}</td></tr>"
    )


def _section(name: str, title: str, content: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'


def _table(heads: Sequence[str], rows: str, numbers: Sequence[int] = ()) -> str:
    cells = "".join(
        f'<th scope="col"{" class=n" if place in numbers else ""}>{head}</th>' for place, head in enumerate(heads)
    )
    return f'<div class="table"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def _value(value: object) -> str:
    if isinstance(value, list):
        return shown(", ".join(_texts(value)) or "none")
    return shown(value if isinstance(value, str) else json.dumps(value))


def _texts(values: Sequence[object]) -> Iterator[str]:
    return (str(value) for value in values)


def _clock(time: str) -> str:
    """Return the time of day of a timestamp (ISO 8601, in UTC), as a ``<time>`` element."""
    return f'<time datetime="{plain(time)}">{plain(time[11:19])}</time>'
