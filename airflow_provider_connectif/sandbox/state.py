"""The state of one running sandbox."""

from __future__ import annotations

from airflow_provider_connectif.sandbox.account import Account
from airflow_provider_connectif.sandbox.faults import FaultList
from airflow_provider_connectif.sandbox.import_list import ImportList
from airflow_provider_connectif.sandbox.keys import KeyRing
from airflow_provider_connectif.sandbox.refusals import RefusalList
from airflow_provider_connectif.sandbox.request_log import RequestLog
from airflow_provider_connectif.sandbox.settings import Settings
from airflow_provider_connectif.sandbox.window import RateWindow


class SandboxState:
    """The account, its keys, the window, the faults and the log. Only the event loop's thread may use it.

    ``address``: the address ``http://host:port`` of the sandbox, for the page.
    """

    def __init__(self, settings: Settings, address: str = "") -> None:
        self.settings = settings
        self.address = address
        self.keys = KeyRing(settings.api_keys)
        self.blocked = settings.blocked
        self.window = RateWindow(settings.requests_per_window, settings.window_seconds)
        self.faults = FaultList()
        self.log = RequestLog()
        self.refusals = RefusalList()
        # Assumption: a new contact gets the default of every required field. The reason: the creation of such a field
        # writes the default to all contacts.
        self.account = Account(
            {
                contact_field.id: contact_field.default_value
                for contact_field in settings.fields.values()
                if contact_field.custom and contact_field.required and contact_field.default_value is not None
            }
        )

        self.imports = ImportList(settings, self.account)

    def reset(self) -> None:
        """Remove all contacts, imports and logged requests, and begin a new window. Faults and ``blocked`` stay."""
        self.imports.clear()
        self.account.clear()
        self.log.clear()
        self.refusals.clear()
        self.window.clear()
