"""The provider's metadata, which Airflow reads through the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from typing import Any

from airflow_provider_connectif import __version__
from airflow_provider_connectif.hooks import connection_form

_ASSET_URIS = {
    "schemes": ["connectif"],
    "handler": "airflow_provider_connectif.assets.sanitize_uri",
    "factory": "airflow_provider_connectif.assets.create_asset",
    "to_openlineage_converter": "airflow_provider_connectif.assets.to_openlineage",
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata. Airflow calls it at every start, so it imports little and raises no error."""
    return {
        "package-name": "airflow-provider-connectif",
        "name": "Connectif",
        "description": "Contacts from a data warehouse to `Connectif <https://www.connectif.ai/>`__.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": connection_form.CONNECTION_TYPE,
                "hook-class-name": connection_form.HOOK_CLASS,
                "hook-name": connection_form.HOOK_NAME,
                "ui-field-behaviour": connection_form.UI_FIELD_BEHAVIOUR,
                "conn-fields": connection_form.conn_fields(),
            }
        ],
        "config": {
            "connectif": {
                "description": "Settings of the Connectif provider.",
                "options": {
                    "work_folder": {
                        "description": "Folder on the worker for changes that wait to be sent. The changes are "
                        "personal data, in a file without a name. If empty: the system's folder for temporary files.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/var/lib/airflow/connectif",
                        "default": "",
                    },
                    "journals": {
                        "description": "The journals that the command line and the Connectif page of Airflow's UI "
                        "show, separated by commas. Each is conn_id, conn_id:table or conn_id:schema.table. "
                        "The default table is connectif_journal.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "warehouse, other:marketing.connectif_journal",
                        "default": "",
                    },
                    "mask_keys": {
                        "description": "Whether the Connectif page shows contact keys with their middle left out.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": "True",
                        "default": "False",
                    },
                },
            }
        },
        "cli": ["airflow_provider_connectif.cli.airflow_commands.commands"],
        "extra-links": ["airflow_provider_connectif.links.ConnectifRunLink"],
        "asset-uris": [_ASSET_URIS],
        "dataset-uris": [_ASSET_URIS],  # the name of this key in Airflow 2.11
        "task-decorators": [
            {
                "name": "connectif_patch",
                "class-name": "airflow_provider_connectif.decorators.contacts.connectif_patch_task",
            }
        ],
    }
