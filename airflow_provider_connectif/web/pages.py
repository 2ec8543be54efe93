"""Makes the HTML of the pages. Every text from a journal, a DAG or a person goes through :mod:`.markup`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import NamedTuple
from urllib.parse import urlencode

from airflow_provider_connectif.databases.journal_places import JournalPlace
from airflow_provider_connectif.journal.explanation import SENT_AS, Explanation
from airflow_provider_connectif.journal.overview_reasons import ReasonCount, Reasons
from airflow_provider_connectif.journal.overview_records import RowOutcome, RunRecord, RunTotals, SyncOverview
from airflow_provider_connectif.look.markup import duration, masked, moment, number, plain, shown
from airflow_provider_connectif.reporting.verdict import verdict_in_words
from airflow_provider_connectif.web.pictures import last_runs, picture_of_rows

ROWS_OF_A_PAGE = 50
_REQUESTS_A_MINUTE = 100  # documented for every account
_MOST_REQUESTS_EACH = 2.0  # of a contact; a run may also have made other requests, such as polls
_OF_REQUESTS = ("created", "updated", "skipped", "rejected", "deleted", "absent")


class Frame(NamedTuple):
    """Makes a page as HTML, for one request.

    ``root``: the path of the Connectif page on the server. ``masks_keys``: whether most of a contact key is hidden.
    """

    root: str
    masks_keys: bool = False

    def document(self, title: str, body: str) -> str:
        """Return a whole HTML document.

        :param body: HTML.
        """
        return (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<title>{plain(title)}</title><link rel="stylesheet" href="{self.root}/style.css">'
            f'<script src="{self.root}/theme.js"></script></head><body>'
            f'<a class="skip" href="#content">Skip to content</a><main id="content">{body}</main></body></html>'
        )

    def message(self, title: str, words: str) -> str:
        """Return a page with a message."""
        return self.document(title, f"<h1>{shown(title)}</h1><p>{shown(words)}</p>{self._back()}")

    def key(self, key: str | None) -> str:
        """Return a contact key as HTML, masked if needed; ``None``: the row has no valid key."""
        if key is None:
            return '<span class="quiet">no valid key</span>'
        return shown(masked(key) if self.masks_keys else key)

    def run_link(self, run: RunTotals, words: str, **more: object) -> str:
        """Return a link to a run's page.

        :param words: the text of the link, as HTML.
        :param more: more parameters of the address.
        """
        names = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": run.task_id, "map_index": run.map_index}
        return f'<a href="{self.root}/run?{plain_query({**names, **more})}">{words}</a>'

    def overview(self, journals: Sequence[tuple[JournalPlace, Sequence[SyncOverview] | str]]) -> str:
        """Return the page with all syncs of all journals.

        :param journals: each with its syncs, or with the reason why it cannot be shown.
        """
        parts = ["<h1>Connectif</h1>"]
        if not journals:
            parts.append(
                '<p class="note">No journal is listed. Name the connections of your journals in Airflow\'s '
                "configuration: <code>[connectif] journals = conn_id</code></p>"
            )
        for place, found in journals:
            if len(journals) > 1 or isinstance(found, str):
                parts.append(f"<h2>Journal {shown(place.name)}</h2>")
            if isinstance(found, str):
                parts.append(f'<p class="note" role="alert">This journal cannot be shown: {shown(found)}</p>')
            elif not found:
                parts.append('<p class="quiet">No run of a DAG that you may see.</p>')
            else:
                cards = "".join(f'<li class="card">{self._card(sync)}</li>' for sync in found)
                parts.append(f'<ul class="cards">{cards}</ul>')
        return self.document("Connectif", "".join(parts))

    def _card(self, sync: SyncOverview) -> str:
        last = sync.runs[0]
        counts = last.counts
        known = max(0, last.refused - counts["new_refusals"])
        tasks = f"; {number(last.tasks)} tasks" if last.tasks > 1 else ""
        facts = [
            ("Last run", f"{_verdict(last)}, {moment(last.ended_at or last.started_at)}{tasks}"),
            ("In step with the source", f"{'' if last.is_in_step else 'not now; last '}{moment(sync.in_step_at)}"),
            ("Pending", _pending(sync.pending, counts)),
            ("Refused now", f"{number(counts['new_refusals'])} new, {number(known)} known"),
            ("Consents kept", number(counts["consent_kept"])),
        ]
        return f"<h2>{self.run_link(last, shown(sync.sync_id))}</h2>{_facts(facts)}{last_runs(sync.runs)}"

    def run(
        self,
        run: RunRecord,
        reasons: Reasons,
        rows: Sequence[RowOutcome],
        reason: str | None,
        *,
        has_more: bool,
    ) -> str:
        """Return a run's page.

        :param reasons: the reasons why rows were not delivered.
        :param rows: one page of the rows that were not delivered.
        :param reason: the reason of these rows, if the user has selected one; ``None``: rows with any reason.
        :param has_more: whether more rows follow.
        """
        task = run.task_id if run.map_index < 0 else f"{run.task_id} [{run.map_index}]"
        seconds = ((run.ended_at or datetime.now(UTC)) - run.started_at).total_seconds()
        facts = [
            ("Verdict", _verdict(run)),
            ("DAG", shown(run.dag_id)),
            ("Task", shown(task)),
            ("Run", shown(run.run_id)),
            ("Started", moment(run.started_at)),
            ("Ended", moment(run.ended_at)),
            ("Took", duration(seconds)),
            ("Waited for the rate limit", duration(run.waited_s)),
            ("Requests", f"{number(run.counts['requests'])}, of these {number(run.counts['rate_limited'])} with 429"),
            ("Attempts", number(run.tries)),
            ("Way", shown(run.way or "not recorded")),
        ]
        beside = ("recreated", "consent_kept", "unconfirmed", "stored_differently", "drifted", "removed")
        told = [f"{number(run.counts[name])} {name.replace('_', ' ')}" for name in beside if run.counts[name]]
        parts = [
            f"<h1>{shown(run.sync_id)}</h1>{_facts(facts)}",
            f"<h2>The way of the rows</h2>{picture_of_rows(run)}",
            f'<p class="quiet">Also: {", ".join(told)}.</p>' if told else "",
            self._reasons(run, reasons),
            self.contact_form(run.dag_id, run.sync_id),
            self._rows(run, rows, reason, has_more=has_more),
            self._back(),
        ]
        return self.document(f"Connectif run: {run.sync_id}", "".join(parts))

    def _reasons(self, run: RunRecord, reasons: Reasons) -> str:
        more = []
        if reasons.more:
            more.append(f"{number(reasons.more)} more reason{'s' * (reasons.more > 1)}.")
        if reasons.rows_without:
            more.append(f"Rows without a recorded reason: {number(reasons.rows_without)}.")
        note = f"<p>{' '.join(more)}</p>" if more else ""
        if not reasons.counts:
            return f"<h2>Reasons</h2>{note or '<p>No row was refused, none is left undelivered.</p>'}"
        rows = "".join(
            f"<tr><td>{shown(entry.outcome)}</td><td>{self._reason(run, entry)}</td>"
            f'<td class="n" data-name="rows">{number(entry.rows)}</td></tr>'
            for entry in reasons.counts
        )
        head = '<thead><tr><th>Outcome</th><th>Reason</th><th class="n">Rows</th></tr></thead>'
        return f"<h2>Reasons</h2><table>{head}<tbody>{rows}</tbody></table>{note}"

    def _reason(self, run: RunRecord, entry: ReasonCount) -> str:
        words = shown(entry.reason or "no reason")
        return self.run_link(run, words, reason=entry.reason) if entry.is_listed else words

    def _rows(self, run: RunRecord, rows: Sequence[RowOutcome], reason: str | None, *, has_more: bool) -> str:
        if not rows:
            return ""
        lines = "".join(
            f'<tr><td data-name="contact">{self.key(row.contact_key)}</td><td>{shown(row.outcome)}</td>'
            f'<td>{shown(row.reason or "")}</td><td class="n" data-name="status">{row.status_code or "–"}</td></tr>'
            for row in rows
        )
        head = '<thead><tr><th>Contact</th><th>Outcome</th><th>Reason</th><th class="n">HTTP</th></tr></thead>'
        chosen = (
            f"<p>Only: {shown(reason or 'no reason')}. {self.run_link(run, 'Show all')}</p>"
            if reason is not None
            else ""
        )
        more = {} if reason is None else {"reason": reason}
        link = f"<p>{self.run_link(run, 'Next rows', after=rows[-1].id, **more)}</p>" if has_more else ""
        return f"<h2>Rows not delivered</h2>{chosen}<table>{head}<tbody>{lines}</tbody></table>{link}"

    def contact_form(self, dag_id: str, sync_id: str) -> str:
        """Return the form that finds a contact. It sends the contact's key in the body of a POST."""
        action = f"{self.root}/contact?{plain_query({'dag_id': dag_id})}"
        return (
            f'<h2>Find a contact</h2><form method="post" action="{action}">'
            f'<input type="hidden" name="sync_id" value="{_whole(sync_id)}">'
            "<label>E-mail, external id, or key as it stands in the journal"
            '<input name="key" required autocomplete="off" spellcheck="false" maxlength="320"></label>'
            '<button type="submit">Find</button></form>'
        )

    def contact(
        self, dag_id: str, explanation: Explanation, written_key: str | None, faults: Sequence[str] = ()
    ) -> str:
        """Return the page of one contact. It shows the same as the command ``explain``.

        :param written_key: the contact's key as the journal stores it; ``None``: the journal has no line of the
            contact.
        :param faults: messages about journals that could not be read. One of these journals may have the contact.
        """
        facts = [(name.capitalize(), self._shown(name, fact)) for name, fact in explanation.facts().items()]
        step = explanation.next_step
        parts = [
            f"<h1>A contact of {shown(explanation.sync_id)}</h1>",
            *(f'<p class="note" role="alert">{shown(fault)}</p>' for fault in faults),
            _facts([("Contact", self.key(written_key)), *facts] if written_key is not None else facts),
            f"<h2>Next run</h2><p>{shown(step.words)}<br><span class='quiet'>Why: {shown(step.why)}</span></p>",
            _properties(explanation),
            f"<h2>History</h2>{_history(explanation)}",
            self.contact_form(dag_id, explanation.sync_id),
            self._back(),
        ]
        return self.document("Connectif contact", "".join(parts))

    def _shown(self, name: str, fact: str | int | datetime) -> str:
        if name == SENT_AS:
            return self.key(str(fact))
        return moment(fact) if isinstance(fact, datetime) else shown(fact)

    def _back(self) -> str:
        return f'<p><a href="{self.root}/">All syncs</a></p>'


def plain_query(values: dict[str, object]) -> str:
    """Return the query string of an address, escaped for an attribute."""
    return _whole(urlencode({name: str(value) for name, value in values.items()}))


def _whole(text: str) -> str:
    """Escape text for an attribute, without cutting it: the browser must send it back unchanged.

    Characters that cannot be printed become numeric character references.
    """
    return "".join(letter if letter.isprintable() else f"&#{ord(letter)};" for letter in escape(text, quote=True))


def _properties(explanation: Explanation) -> str:
    rows = "".join(
        f"<tr><td>{shown(known.id)}</td><td>{shown(known.words)}</td><td>{shown(known.digest or '')}</td></tr>"
        for known in explanation.properties
    )
    head = "<thead><tr><th>Property</th><th>Journal</th><th>Digest</th></tr></thead>"
    table = f"<table>{head}<tbody>{rows}</tbody></table>" if rows else ""
    more = explanation.unnamed_properties
    words = f"<p>The journal has {number(more)} more; the command <code>explain</code> shows their ids with --live.</p>"
    return f"<h2>Properties</h2>{table}{words if more else ''}" if rows or more else ""


def _history(explanation: Explanation) -> str:
    lines = "".join(
        f"<tr><td>{moment(row.at)}</td><td>{shown(row.run_id)}</td><td>{shown(row.outcome)}</td>"
        f"<td>{shown(', '.join(row.properties))}</td><td>{shown(row.reason or '')}</td>"
        f'<td class="n" data-name="status">{row.status_code or "–"}</td></tr>'
        for row in explanation.history
    )
    head = (
        "<thead><tr><th>At</th><th>Run</th><th>Outcome</th><th>Properties</th><th>Reason</th>"
        '<th class="n">HTTP</th></tr></thead>'
    )
    return f"<table>{head}<tbody>{lines}</tbody></table>" if lines else "<p>None is recorded.</p>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    entries = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{entries}</dl>'


def _verdict(run: RunTotals) -> str:
    return f'<span class="verdict {plain(run.verdict or "open")}">{plain(verdict_in_words(run.verdict))}</span>'


def _pending(changes: int, counts: Mapping[str, int]) -> str:
    """Return the number of pending changes, and when they will probably be sent.

    :param counts: the counts of the sync's last run: pending changes will take as many requests as those that it sent.
    """
    if not changes:
        return "nothing"
    sent = sum(counts[name] for name in _OF_REQUESTS)
    requests = changes * min(max(1.0, counts["requests"] / sent), _MOST_REQUESTS_EACH) if sent else changes
    end = datetime.now(UTC) + timedelta(minutes=requests / _REQUESTS_A_MINUTE)
    return f"{number(changes)} changes; at {_REQUESTS_A_MINUTE} requests a minute until {moment(end)}"
