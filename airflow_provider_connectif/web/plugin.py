"""Registers the page with Airflow, through the entry point group ``airflow.plugins``.

Every component of Airflow loads this module at its start, so it imports little. The page itself is loaded at its first
request. On Airflow 2.11 and 3.0 nothing is registered, because their UI cannot show such a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_connectif.versions import has_external_views

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

PREFIX = "/connectif"


class LazyPage:
    """An ASGI application that is loaded at its first request."""

    _app: Any = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serve a request."""
        if self._app is None:
            from airflow_provider_connectif.web.app import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


def page_root() -> str:
    """Return the path of the page on the server. It begins with the path of ``[api] base_url``."""
    from airflow.providers.common.compat.sdk import conf

    path: str = urlsplit(conf.get("api", "base_url", fallback="")).path
    return path.rstrip("/") + PREFIX


def _views() -> list[dict[str, Any]]:
    root = page_root()
    names = "dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"
    return [
        {"name": "Connectif", "href": f"{root}/", "destination": "nav", "url_route": "connectif"},
        {
            "name": "Connectif run",
            "href": f"{root}/run?{names}",
            "destination": "task_instance",
            "url_route": "connectif-run",
        },
    ]


class ConnectifPlugin(AirflowPlugin):
    """The page in Airflow's navigation, and as a tab of task instances."""

    name = "connectif"
    fastapi_apps = [{"app": LazyPage(), "url_prefix": PREFIX, "name": "Connectif"}] if has_external_views() else []
    external_views = _views() if has_external_views() else []
