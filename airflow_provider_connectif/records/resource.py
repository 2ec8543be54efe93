"""The resource protocol: the interface between the stages of a run and one kind of thing at Connectif."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Shown
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.rows import Row

_NOTHING: Mapping[str, JsonValue] = MappingProxyType({})


class Step(NamedTuple):
    """The state of a change after a request.

    :param patch: the change as it is now; if another request follows, its ``others`` include what was sent.
    :param goes_on: the next request follows at once; otherwise the change is delivered.
    :param shown: the stored values that the response shows; ``None``: nothing is compared.
    :param is_recreated: somebody had deleted the thing.
    :param outcome: the outcome of a delivered change; ``None``: it was created or updated.
    """

    patch: Patch
    goes_on: bool = False
    shown: Shown | None = None
    is_recreated: bool = False
    outcome: Outcome | None = None


class Resource(Protocol):
    """A kind of thing that a sync writes, such as contacts: turns rows into changes, and sends changes.

    A run knows nothing else of the things that it writes. A resource derives from this class and defines the members
    without a default; a comment marks where the members with a default begin. An example is
    :mod:`airflow_provider_connectif.contacts.resource`.

    Several threads use one object. The sending threads call :meth:`send` and :meth:`next_request` at the same time, and
    :meth:`step` and :meth:`urgent_part` one at a time.

    **If sending twice is not harmless,** the run needs a journal, and a change is sent again only if it is certain that
    it was not carried out: no connection, 421, 423, 425, 429, a full queue (E0301, E0401). Each change is written into
    the journal as *in doubt* just before its request, and its response at once after it. A change whose response is
    lost (none, a 5xx, a 408, a 2xx that is not Connectif's or shows another key) is ``undelivered`` in this attempt. So
    is one whose process was killed between request and response. Later attempts and runs do not send it: the row is
    ``held``, with the reason "in doubt: ...", until it changes or ``retry_rejected`` or ``full_refresh`` says to send
    it again. An author's ``retry`` in ``on_response`` sends it again within the attempt.
    """

    noun: str
    """The name of one thing in the log, such as ``contact``."""
    scope: str
    """The scope that the API key needs, such as ``Contacts: Write``."""
    is_idempotent: bool
    """Whether sending a change twice is harmless."""
    key_column: str
    """The column of the key."""

    @property
    def columns(self) -> Sequence[str] | None:
        """The columns that the run reads, the key's first; changes in others are ignored. ``None``: every column."""

    @property
    def definition(self) -> tuple[object, ...]:
        """Everything, apart from :attr:`columns`, that decides what is sent for a row, such as the columns' targets.

        When its ``repr`` changes, every row is compared again.
        """

    def describe(self) -> str:
        """Describe how rows become changes, in one line, for the log."""

    def check(self, columns: Sequence[Any] | None = None) -> None:
        """Check the arguments: while the DAG is parsed, and again with the source's columns before anything is sent.

        :param columns: the columns of the source, or those of its first rows if it names none. ``None``: not known yet,
            or the source has no rows; then only what does not depend on them is checked.
        :raises RunFailed: final; names every fault.
        """

    def key_of(self, row: Row) -> str | None:
        """Return a row's key in the form of :meth:`same_key`; ``None`` if it has no valid key.

        It must not be a key that :func:`airflow_provider_connectif.api.client.is_path_key` refuses: :meth:`send` could
        not put it into a URL, which would end the run.
        """

    def prepare(self, number: int, row: Row) -> Patch:
        """Return the change for a row. Pure: the same row gives the same change.

        Rows of PostgreSQL are prepared when they are read, and again when their changes are sent.

        :param number: the row's number in the source, from 1.
        :raises InvalidRow: the row cannot be sent; the reasons name column and rule, never a value.
        """

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Response:
        """Send one change with one request, by :meth:`Client.send` or another method of the client.

        If the change has ``looks_up``, the request reads the thing and sets nothing.

        :param on_fresh_connection: use none of the pooled connections.
        :return: the response, a 2xx. 201: created. ``is_own`` is false if it shows the thing of another key.
        :raises ConnectifHttpError: the response, if it is not a 2xx.
        :raises NoResponseError: no complete response.
        :raises RunStopped: the run must stop, and nothing was sent; from the client, to be passed on.
        """

    # The following members have a default.

    @property
    def plan_kind(self) -> str:
        """The kind of changes and keys. A plan that was stored with another kind is not sent. Default: the class."""
        return type(self).__name__

    @property
    def dataset(self) -> str:
        """The name of all things in lineage, beside the connection's id. Default: the noun with an s."""
        return f"{self.noun}s"

    method: str = "PATCH"
    """The HTTP method of the requests that send changes, for the plan in the log."""
    takes_parts: bool = False
    """Whether a change may carry only the properties that differ from what was accepted before, since Connectif leaves
    the others as they are. ``False``: each change carries all properties of its row."""
    is_compared: bool = True
    """Whether the journal keeps a line for each key, to compare rows with. ``False``: each run sends every row."""
    rules_version: bytes = b"1"
    """Raise it when :meth:`prepare` returns something else for the same row: every row is then compared again."""
    definitions_scope: str = ""
    """The scope that the API key needs for :meth:`with_definitions`."""
    without_definitions: str = ""
    """The consequence if the key does not have that scope, for the log."""

    def properties_without_key(self, row: Row) -> Mapping[str, JsonValue] | None:
        """Return the properties of a row that has no valid key; ``None``: they are not known.

        A thing that seems to have left may still be in the source, as such a row. Its properties decide whether that is
        possible. Default: not known, so any such row may be the thing.

        :return: values by property id; a value ``None``: the row has none. Invalid values are left out.
        """
        return None

    def same_key(self, key: str) -> str:
        """Return one form for all spellings of a key: equal forms mean the same thing. Default: the key itself.

        :meth:`key_of` returns this form, too; ``Patch.key`` has the spelling to send.
        """
        return key

    def person_of(self, key: str) -> PersonKey | None:
        """Return the person whom a key names, to look up in the journal's suppression list; ``None``: no person.

        :param key: in the form of :meth:`same_key`.
        """
        return None

    def people_of(self, change: Patch) -> Sequence[PersonKey]:
        """Return the keys by which the suppression list may know the person of a change. Default: the change's key."""
        person = self.person_of(self.same_key(change.key))
        return () if person is None else (person,)

    def people_of_row(self, row: Row) -> Sequence[PersonKey]:
        """Return the people whom a row names; the row need not be valid. Default: the person of its key."""
        key = self.key_of(row)
        person = None if key is None else self.person_of(key)
        return () if person is None else (person,)

    def names_people_beside(self, batch: Sequence[Row]) -> bool:
        """Whether the rows of a batch may name people beside their keys, for :meth:`people_beside`; must be quick."""
        return False

    def people_beside(self, batch: Sequence[Row]) -> Mapping[int, PersonKey]:
        """Return the person whom a row names beside its key, by the index of the row. Default: nobody.

        It is called with a whole batch if :meth:`names_people_beside` is true and somebody is suppressed; only the
        results for unchanged rows count. To be quick, it should convert no other values.
        """
        return {}

    def unconverted_keys(self, values: Sequence[Any]) -> list[str | None]:
        """Return the keys that can be read from the key column alone, in the form of :meth:`same_key`.

        For a million unchanged rows nothing else is read, so overriding this method saves time.

        :param values: the values of the key column.
        :return: for each value its key, printable, or ``None`` if :meth:`key_of` must decide.
        """
        return [None] * len(values)

    def is_of_another_before(self, key: str) -> bool:
        """Whether an earlier version of this package may have stored another thing's line under this key."""
        return False

    def merged(self, earlier: Mapping[str, JsonValue], later: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return the combined properties of two rows with the same key. Default: later values win."""
        return {**earlier, **later}

    def is_urgent(self, properties: Mapping[str, JsonValue]) -> bool:
        """Whether a change with these properties is sent before all others."""
        return False

    def column_of(self, property_id: str) -> str | None:
        """Return the column that a property is read from, for reasons of rejections. Default: ``None``, not known."""
        return None

    ranks: Mapping[str, Sequence[str]] = MappingProxyType({})
    """Ranked properties, such as consents, with their values from the lowest to the highest. The journal keeps the
    accepted rank of each (:class:`Standing`), by which :meth:`arrange` can let a higher value wait for a response."""
    modes: Mapping[str, str] = MappingProxyType({})
    """Properties with a write mode, and the mode; a property whose mode changes counts as different."""

    def arrange(self, change: Patch, differing: Collection[str]) -> Patch:
        """Return a change split into what its first request carries and what waits for a response: :meth:`Patch.split`.

        Pure. If the result has neither, nothing is sent for the row. Default: the first request carries all of
        ``differing``. This is called before a plan is complete, and again when rows of one key are merged.

        :param change: the change with all properties of its row, and the journal's knowledge of them.
        :param differing: the ids of the properties to send: those whose value Connectif has not accepted; or all, with
            ``full_refresh``, without a journal, or if one differs and :attr:`takes_parts` is false.
        """
        whole = change.whole
        if len(differing) == len(whole):
            return change.split(whole, _NOTHING)
        others = {property_id: value for property_id, value in whole.items() if property_id not in differing}
        return change.split({name: whole[name] for name in differing}, others)

    def requests(self, change: Patch) -> tuple[int, int]:
        """Return the least and the largest number of requests for a change, without retries."""
        return 1, 1

    def next_request(self, change: Patch, plan_age_s: float) -> Patch:
        """Return a change as its next request must carry it; called before each request, retries included.

        For example, a change of an old plan may need a look-up first. Default: the unchanged change.

        :param plan_age_s: seconds since the plan was made.
        """
        return change

    def step(self, change: Patch, came: Response | Error) -> Step | None:
        """Return the state of a change after a request. Default: a 2xx delivers it, and nothing is compared.

        :param change: the change that was sent.
        :param came: the error, or the 2xx response. Its body is ``None`` if it may belong to another request, or if
            ``on_response`` accepts an error.
        :return: ``None``: after an error the response policy decides; after a 2xx the change is delivered.
        """
        return Step(change) if isinstance(came, Response) else None

    def with_spellings(self, change: Patch, spellings: Collection[str]) -> Patch:
        """Return a deletion that also deletes other spellings of its key. Default: the unchanged deletion."""
        return change

    def urgent_part(self, change: Patch) -> Patch | None:
        """Return the part of a change that must be sent alone if the change is rejected or skipped.

        It is also called when a plan is made, to count requests.

        :return: ``None``, the default: there is no such part, or the change has nothing else.
        """
        return None

    def urgent_part_of_row(self, number: int, row: Row) -> Patch | None:
        """Return the part of an invalid or held row that must be sent all the same; ``None``: there is none."""
        return None

    def warning_about(self, columns: Iterable[Any]) -> str | None:
        """Return a warning for the log about properties that every change overwrites; ``None``: no warning.

        :param columns: ids of properties, from :attr:`written_columns`; if that is ``None``, columns of the source.
            Each is passed only once.
        """
        return None

    @property
    def written_columns(self) -> Sequence[str] | None:
        """The ids of the properties that the run writes. ``None``, the default: each column of the source is one."""
        return None

    @property
    def needs_definitions(self) -> bool:
        """Whether the account's own definitions decide what is valid."""
        return False

    def with_definitions(self, client: Client) -> Self:
        """Return the same resource with the account's definitions, which this method requests.

        The run calls it again after a failure that may pass, and continues without definitions after a 403.

        :raises ConnectifHttpError: the response, if it is not a 2xx.
        :raises NoResponseError: no complete response.
        :raises MalformedResponseError: a 2xx without definitions; it ends the attempt.
        """
        return self
