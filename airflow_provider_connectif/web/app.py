"""The page's routes. All of them only read, and check with Airflow's auth manager first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs

from airflow.providers.common.compat.sdk import conf
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from airflow_provider_connectif.contacts.fields import BUILT_IN_IDS
from airflow_provider_connectif.contacts.identity import same_contact
from airflow_provider_connectif.contacts.named_people import people_named
from airflow_provider_connectif.databases.journal_places import JournalPlace, configured_journals
from airflow_provider_connectif.databases.journals import key_secret
from airflow_provider_connectif.journal import overview
from airflow_provider_connectif.journal.contact_question import ContactQuestion
from airflow_provider_connectif.journal.explanation import Explanation
from airflow_provider_connectif.journal.tables import VERSION
from airflow_provider_connectif.look.style import SCRIPT, STYLE
from airflow_provider_connectif.web.access import User, readable_dags, requires_task_instances
from airflow_provider_connectif.web.pages import ROWS_OF_A_PAGE, Frame
from airflow_provider_connectif.web.places import Places, Unreachable
from airflow_provider_connectif.web.plugin import page_root

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LARGEST_BODY = 8_192
_NO_HISTORY = "its tables are not there yet, or of an earlier version; the sync's next run creates them"


def make_app() -> FastAPI:
    """Return the ASGI application that is mounted into Airflow's server."""
    app = FastAPI(title="Connectif", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.places = Places()

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    @app.get("/style.css")
    def style(user: User) -> Response:
        return Response(STYLE, media_type="text/css")

    @app.get("/theme.js")
    def theme(user: User) -> Response:
        return Response(SCRIPT, media_type="text/javascript")

    @app.get("/")
    def all_syncs(user: User) -> HTMLResponse:
        dags = readable_dags(user)
        if not dags:
            raise HTTPException(403, "Forbidden")
        found: list[tuple[JournalPlace, Any]] = []
        for place in configured_journals():
            try:
                with app.state.places.reading(place) as (connection, tables):
                    if not overview.has_history(connection, tables):
                        found.append((place, _NO_HISTORY))
                        continue
                    seen = [sync for sync, of in overview.dags_of_syncs(connection, tables).items() if of <= dags]
                    found.append((place, overview.syncs(connection, tables, seen)))
            except Unreachable as fault:
                found.append((place, str(fault)))
        return HTMLResponse(_frame().overview(found))

    @app.get("/run", dependencies=[Depends(requires_task_instances)])
    def run(
        user: User,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: str = "-1",
        reason: str | None = None,
        after: Annotated[int, Query(ge=0)] = 0,
    ) -> HTMLResponse:
        frame, faults = _frame(), []
        index = int(map_index) if map_index.removeprefix("-").isdecimal() else -1
        for place in configured_journals():
            try:
                with app.state.places.reading(place) as (connection, tables):
                    if not overview.has_history(connection, tables):
                        continue
                    record = overview.run_of(connection, tables, dag_id, run_id, task_id, index)
                    if record is None:
                        continue
                    reasons = overview.refused_by_reason(connection, tables, record)
                    rows = overview.refused_rows(
                        connection, tables, record, reason=reason, after=after, most=ROWS_OF_A_PAGE + 1
                    )
                has_more = len(rows) > ROWS_OF_A_PAGE
                return HTMLResponse(frame.run(record, reasons, rows[:ROWS_OF_A_PAGE], reason, has_more=has_more))
            except Unreachable as fault:
                faults.append(f"Journal {place.name} cannot be read: {fault}")
        words = ". ".join(faults) or (
            "No journal of [connectif] journals has a record of this task instance: it has not begun, it is not of "
            "this provider, it has no journal_conn_id, or its journal is not listed"
        )
        return HTMLResponse(frame.message("No record of this run", words), status_code=503 if faults else 404)

    @app.post("/contact", dependencies=[Depends(requires_task_instances)])
    async def contact(request: Request, user: User, dag_id: str) -> HTMLResponse:
        body = await _small_body(request)
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        key, sync_id = (form.get(name, [""])[0].strip() for name in ("key", "sync_id"))
        if not key or not sync_id:
            return HTMLResponse(_frame().message("Find a contact", "Give a key and a sync"), status_code=400)
        return await run_in_threadpool(_contact, app.state.places, user, dag_id, sync_id, key)

    return app


def _contact(places: Places, user: Any, dag_id: str, sync_id: str, key: str) -> HTMLResponse:
    frame, dags, found = _frame(), readable_dags(user) | {dag_id}, None
    for place in configured_journals():
        try:
            with places.reading(place) as (connection, tables):
                if not overview.has_history(connection, tables):
                    continue
                of_sync = overview.dags_of_syncs(connection, tables).get(sync_id, set())
                if dag_id not in of_sync:
                    continue
                # A line has the outcome of the last run of any of these DAGs.
                if not of_sync <= dags:
                    raise HTTPException(403, "Forbidden")
            found = _explained(places, place, sync_id, key)
        except Unreachable as fault:
            return HTMLResponse(frame.message("The journal cannot be read", str(fault)), status_code=503)
        if found[0].knows_contact:
            break
    if found is None:
        raise HTTPException(403, "Forbidden")
    explanation, written_key = found
    return HTMLResponse(frame.contact(dag_id, explanation, written_key))


def _explained(places: Places, place: JournalPlace, sync_id: str, key: str) -> tuple[Explanation, str | None]:
    """Return what a journal knows of a contact, as ``explain`` prints it, and the contact's key in its line.

    :param key: as it was typed: an e-mail, an external id, or a key as it stands in the journal.
    """
    keys = {key, same_contact("email", key)}
    with places.asking(place) as database:
        secret = key_secret(place.conn_id)
        question = ContactQuestion(database, VERSION, sync_id, keys, people_named(key), secret, conn_id=place.conn_id)
        return question.explain(BUILT_IN_IDS, question.history()), question.written_key


async def _small_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise HTTPException(413, "Too large")
    return body


def _frame() -> Frame:
    return Frame(page_root(), conf.getboolean("connectif", "mask_keys", fallback=False))
