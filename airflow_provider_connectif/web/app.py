"""The page's routes. Each route first asks Airflow's auth manager whether the user may see it. All routes only read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qs

import sqlalchemy as sa
from airflow.providers.common.compat.sdk import conf
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from airflow_provider_connectif.databases.journal_places import JournalPlace, configured_journals
from airflow_provider_connectif.journal import overview
from airflow_provider_connectif.journal.overview_reasons import reasons_of
from airflow_provider_connectif.journal.overview_records import RunRecord
from airflow_provider_connectif.journal.overview_syncs import syncs
from airflow_provider_connectif.journal.tables import JournalTables
from airflow_provider_connectif.look.style import SCRIPT, STYLE
from airflow_provider_connectif.web.access import (
    NamedDag,
    User,
    may_read_task_instances,
    readable_dags,
    requires_some_dag,
    requires_task_instances,
)
from airflow_provider_connectif.web.contact_search import ContactSearch
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
# A text in PostgreSQL cannot have a NUL character.
_Text = Annotated[str, Query(pattern=r"^[^\x00]*$")]
_LONGEST_INDEX = 9  # digits of a map index; no database has a longer one, but a typed address may
_LARGEST_ID = 2**53  # of a record; no database has a larger one, but a typed address may
_NO_HISTORY = "its tables are not there yet, or of an earlier version; the sync's next run creates them"


def make_app() -> FastAPI:
    """Return the page as an ASGI application, which Airflow mounts into its server."""
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

    @app.get("/", dependencies=[Depends(requires_some_dag)])
    def all_syncs(user: User) -> HTMLResponse:
        found: list[tuple[JournalPlace, Any]] = []
        for place in configured_journals():
            try:
                with app.state.places.reading(place) as (connection, tables):
                    if not overview.has_history(connection, tables):
                        found.append((place, _NO_HISTORY))
                        continue
                    of_syncs = overview.dags_of_syncs(connection, tables)
                    dags = readable_dags(user, set().union(*of_syncs.values()))
                    seen = [sync for sync, of_sync in of_syncs.items() if of_sync <= dags]
                    found.append((place, syncs(connection, tables, seen)))
            except Unreachable as fault:
                found.append((place, str(fault)))
        return HTMLResponse(_frame().overview(found))

    @app.get("/run", dependencies=[Depends(requires_task_instances)])
    def run(
        dag_id: NamedDag,
        run_id: _Text,
        task_id: _Text,
        map_index: str = "-1",
        reason: _Text | None = None,
        after: Annotated[int, Query(ge=0, le=_LARGEST_ID)] = 0,
    ) -> HTMLResponse:
        frame, faults = _frame(), []
        is_number = map_index.removeprefix("-").isdecimal() and len(map_index) <= _LONGEST_INDEX
        index = int(map_index) if is_number else -1
        for place in configured_journals():
            try:
                with app.state.places.reading(place) as (connection, tables):
                    if not overview.has_history(connection, tables):
                        continue
                    record = _run_of(connection, tables, dag_id, run_id, task_id, index)
                    if record is None:
                        continue
                    reasons = reasons_of(connection, tables, record)
                    rows = overview.refused_rows(
                        connection, tables, record, reason=reason, after=after, most=ROWS_OF_A_PAGE + 1
                    )
                has_more = len(rows) > ROWS_OF_A_PAGE
                return HTMLResponse(frame.run(record, reasons, rows[:ROWS_OF_A_PAGE], reason, has_more=has_more))
            except Unreachable as fault:
                faults.append(fault.of(place))
        words = ". ".join(faults) or (
            "No journal of [connectif] journals has a record of this task instance: it has not begun, it is not of "
            "this provider, it has no journal_conn_id, or its journal is not listed"
        )
        return HTMLResponse(frame.message("No record of this run", words), status_code=503 if faults else 404)

    @app.post("/contact", dependencies=[Depends(requires_task_instances)])
    async def contact(request: Request, user: User, dag_id: NamedDag) -> HTMLResponse:
        body = await _small_body(request)
        try:
            form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        except ValueError:
            raise HTTPException(400, "Too many fields") from None
        key, sync_id = (form.get(name, [""])[0].replace("\0", "") for name in ("key", "sync_id"))
        key = key.strip()
        if not key or not sync_id:
            return HTMLResponse(_frame().message("Find a contact", "Give a key and a sync"), status_code=400)
        search = ContactSearch(app.state.places, partial(may_read_task_instances, request, user), dag_id, sync_id)
        return await run_in_threadpool(_contact, search, key)

    return app


def _run_of(
    connection: sa.Connection, tables: JournalTables, dag_id: str, run_id: str, task_id: str, map_index: int
) -> RunRecord | None:
    record = overview.run_of(connection, tables, dag_id, run_id, task_id, map_index)
    if record is None and " " in run_id:
        # Airflow 3.1 does not encode the run id in a tab's address, so a "+" in the id arrives as a space.
        record = overview.run_of(connection, tables, dag_id, run_id.replace(" ", "+"), task_id, map_index)
    return record if record is not None and record.dag_id == dag_id else None


def _contact(search: ContactSearch, key: str) -> HTMLResponse:
    frame, found = _frame(), search.find(key)
    if found is not None:
        return HTMLResponse(frame.contact(search.dag_id, found.explanation, found.written_key, search.faults))
    if search.faults:
        return HTMLResponse(frame.message("No record of this contact", ". ".join(search.faults)), status_code=503)
    raise HTTPException(403, "Forbidden")


async def _small_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise HTTPException(413, "Too large")
    return body


def _frame() -> Frame:
    return Frame(page_root(), conf.getboolean("connectif", "mask_keys", fallback=False))
