"""The arguments of the operators that write rows to Connectif as contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.decisions import Resubscribe, WriteMode
from airflow_provider_connectif.contacts.fields import Field, KeyKind
from airflow_provider_connectif.contacts.mapping import ContactMapping, Nulls
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.operators import switches
from airflow_provider_connectif.operators.sync_arguments import SyncArguments

if TYPE_CHECKING:
    from airflow_provider_connectif.records.protocols import FieldsMode


class ContactsArguments(SyncArguments):
    """The arguments that map rows to contacts, for all operators that write contacts.

    :param key: the kind of contact key: ``email`` (default) or ``external_id``.
    :param key_column: the column with the contact key. Default: the column with the name of ``key``, such as ``email``
        (templated).
    :param properties: a dict from property id to column, such as
        ``{"_name": "first_name", "tier": "loyalty_tier"}``. Default: the name of each column, except the key column,
        is a property id.
    :param fields: the field definitions that properties are checked against. ``live`` (default): the account's
        definitions. They are read once a run if ``properties`` is not given, or includes custom fields, or phone
        numbers without ``default_region``. If the API key is not allowed to read them, the run logs a warning and
        continues as with ``builtin``. ``builtin``: only the system fields; PATCH sends values of custom fields by their
        own type, and an import of custom fields fails. A dict: your own definitions by property id, each a type
        (``"text"``) or a ``ContactField`` of the API.
    :param default_region: the country of phone numbers without a country code, as two letters, such as ``ES``. The
        country code in a custom field's definition comes first. Default: only that country code; if there is none, such
        numbers are invalid.
    :param region_column: the column with the country of the row's phone numbers, as ISO 3166 alpha-2, such as ``ES``,
        in upper or lower case. The row's country comes before ``default_region`` and before the country code in a
        custom field's definition. If the cell is empty, these two apply. If the cell has any other value, a number
        without a country code makes the row invalid. The column is a property only if ``properties`` names it.
    :param resubscribe: when to raise a consent that is lower at Connectif than in the source. ``on_change`` (default):
        if the source has raised the consent since its delivery, and no response has shown that the person lowered it.
        ``never`` never raises it; ``always`` always raises it, but an import does not raise it for that reason alone.
        With each of them, a contact that this sync has created gets its first consent, and a consent with its lowest
        value is always sent. See "Who owns which property" in the docs.
    :param write_modes: when to write a property, by property id: ``always`` (default), ``on_create`` (only to contacts
        that this sync creates) or ``if_empty`` (only if Connectif has no value). Not for consents. An import refuses
        ``on_create``.
    :param kwargs: as in :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments`.
    :raises ValueError: an argument is not valid; raised when the DAG is parsed.
    """

    template_fields: Sequence[str] = (*SyncArguments.template_fields, "key_column")

    nulls: Nulls = "omit"

    def __init__(
        self,
        *,
        key: KeyKind = "email",
        key_column: str | None = None,
        properties: Mapping[str, str] | None = None,
        fields: FieldsMode | Mapping[str, Any] = "live",
        default_region: str | None = None,
        region_column: str | None = None,
        resubscribe: Resubscribe = "on_change",
        write_modes: Mapping[str, WriteMode] | None = None,
        **kwargs: Any,
    ) -> None:
        with switches.final_where_mapped(self):
            switches.check_texts({"key_column": key_column, "region_column": region_column})
        self.key = key
        self.key_column = key_column
        self.properties = properties
        self.fields = fields
        self.default_region = default_region
        self.region_column = region_column
        self.resubscribe = resubscribe
        self.write_modes = write_modes
        super().__init__(**kwargs)

    def _key_kind(self) -> str:
        return self.key

    def _asks_for_definitions(self) -> bool:
        return self.fields == "live"

    def _written_fields(self) -> list[tuple[str, str]]:
        run = getattr(self, "_run", None)
        mapping = self._mapping() if run is None else run.resource.mapping
        return [
            (property_id, "" if field is None else field.type)
            for property_id in mapping.property_ids
            for field in [mapping.fields.get(property_id)]
        ]

    def make_resource(self) -> ContactResource:
        """Return the resource for contacts, with the mapping from the arguments."""
        return ContactResource(self._mapping(), resubscribe=self.resubscribe, write_modes=self.write_modes)

    def _mapping(self) -> ContactMapping:
        return ContactMapping(
            self.key,
            self.key_column,
            self.properties,
            self.nulls,
            default_region=self.default_region,
            region_column=self.region_column,
            definitions=_authors_definitions(self.fields),
        )


def _authors_definitions(fields: Any) -> list[Field] | None:
    if fields in ("live", "builtin"):
        return None
    if not isinstance(fields, Mapping):
        raise ValueError("fields must be 'live', 'builtin' or a dict of definitions by property id")
    return fields_of_author(fields)
