"""What a sync writes: the interface between the stages of a run and one kind of thing at Connectif."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Shown
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.rows import Row

_NOTHING: Mapping[str, JsonValue] = MappingProxyType({})


class Step(NamedTuple):
    """Where a change stands after a request.

    ``patch``: the change as it is now; what was sent is among its ``others`` where something follows. ``goes_on``: its
    next request follows at once; otherwise it is delivered. ``shown``: what the response shows of it; ``None``: nothing
    is compared. ``is_recreated``: somebody had deleted it. ``outcome``: of a change that is delivered; ``None``: it was
    created or updated.
    """

    patch: Patch
    goes_on: bool = False
    shown: Shown | None = None
    is_recreated: bool = False
    outcome: Outcome | None = None


class Resource(Protocol):
    """What a sync writes, such as contacts: how rows become changes, and how a change is sent.

    All that a run knows of it. A class derives from this one and gives the members without a default; those below
    have one. An object is used by several threads: :meth:`send` and :meth:`next_request` are called by those that
    send. :mod:`airflow_provider_connectif.contacts.resource` is an example.

    ``noun``: what one is called in the log, such as ``contact``.
    ``scope``: what the API key must allow, such as ``Contacts: Write``.
    ``is_idempotent``: whether sending a change twice is harmless. See below.
    ``takes_parts``: whether a change may carry only the properties that differ from what was accepted before, and
    leaves the others as they are. Default: each change carries all properties of its row.
    ``key_column``: the column of the key.
    ``columns``: all that the run reads of a row, the key's first; a change of another column is none. ``None``: every
    column of a row.
    ``definition``: what else decides what is sent for a row, such as the columns' targets. When its ``repr`` changes,
    every row is looked at once more.

    **Where sending twice is not harmless** the run needs a journal, and a change is sent again only where it is certain
    that it was not carried out: no connection, 421, 423, 425, 429, a full queue (E0301, E0401). Each change is written
    into the journal as *in doubt* just before its request, and its response at once after it. A change whose response
    is lost (none, a 5xx, a 408, a 2xx that is not Connectif's or shows another key) is ``undelivered`` in this attempt.
    So is one whose process was killed between request and response. Later attempts and runs do not send it: the row is
    ``held``, with the reason "in doubt: ...", until it changes or ``retry_rejected`` or ``full_refresh``
    says to send it again. An author's ``retry`` in ``on_response`` sends it again within the attempt.
    """

    noun: str
    scope: str
    is_idempotent: bool
    key_column: str

    @property
    def columns(self) -> Sequence[str] | None:
        """All that the run reads of a row, the key's first."""

    @property
    def definition(self) -> tuple[object, ...]:
        """What else decides what is sent for a row."""

    def describe(self) -> str:
        """How rows become changes, in one line, for the log."""

    def check(self, columns: Sequence[Any] | None = None) -> None:
        """Check the arguments before anything is read or sent.

        :param columns: those of the source, where they are known.
        :raises RunFailed: final; names every fault.
        """

    def key_of(self, row: Row) -> str | None:
        """A row's key in the form that is one for all its spellings; ``None`` where it has none that is valid."""

    def prepare(self, number: int, row: Row) -> Patch:
        """The change that a row stands for. Pure: the same row gives the same change.

        Rows of PostgreSQL are prepared when they are read, and once more when their changes are sent.

        :param number: the row's number in the source, from 1.
        :raises InvalidRow: it cannot be sent; its reasons name column and rule, and no value.
        """

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Answer:
        """Send one change, with one request, by :meth:`Client.send` or a method of the client for it.

        A change that ``looks_up`` asks for the thing instead, and sets nothing: see :meth:`step`.

        :param on_fresh_connection: use none of the pooled connections.
        :return: the response, a 2xx. 201: created. ``is_own`` is false where it shows the thing of another key.
        :raises ConnectifHttpError: the response, if it is no 2xx.
        :raises NoAnswerError: no complete response.
        """

    # What follows has a default.

    takes_parts: bool = False
    is_compared: bool = True
    """Whether the journal keeps a line for each key, with which rows are compared."""
    rules_version: bytes = b"1"
    """To be raised when :meth:`prepare` sends something else for the same row; then every row is looked at again."""
    definitions_scope: str = ""
    """What the API key must allow for :meth:`with_definitions`."""
    without_definitions: str = ""
    """What it means that the key does not allow it, for the log."""

    def same_key(self, key: str) -> str:
        """One form for all spellings of a change's key: when two keys are the same thing's."""
        return key

    def person_of(self, key: str) -> PersonKey | None:
        """The person whom a key names, so that the journal's suppression list can be asked; ``None``: nobody.

        :param key: in the form of :meth:`same_key`.
        """
        return None

    def people_of(self, change: Patch) -> Sequence[PersonKey]:
        """The keys by which the suppression list may know whom a change is about. Default: that of the change."""
        person = self.person_of(self.same_key(change.key))
        return () if person is None else (person,)

    def people_of_row(self, row: Row) -> Sequence[PersonKey]:
        """The same of a row, which need not be valid. Default: its key."""
        key = self.key_of(row)
        person = None if key is None else self.person_of(key)
        return () if person is None else (person,)

    def names_people_beside(self, batch: Sequence[Row]) -> bool:
        """Whether :meth:`people_beside` may have something to say about a batch. Costs nothing."""
        return False

    def people_beside(self, batch: Sequence[Row]) -> Mapping[int, PersonKey]:
        """Whom rows name beside their keys, by the place of the row. Default: nobody.

        It is asked about rows that have not changed, once somebody was suppressed: it looks at no other values.
        """
        return {}

    def keys_at_a_glance(self, values: Sequence[Any]) -> list[str | None]:
        """Keys by the looks of a column's values alone, in the form of :meth:`same_key`.

        Of a million unchanged rows nothing else is looked at, so that it saves time to override this.

        :return: for each value its key, printable, or ``None`` where it needs :meth:`key_of`.
        """
        return [None] * len(values)

    def is_of_another_before(self, key: str) -> bool:
        """Whether an earlier version of this package may have written another thing's line under this key."""
        return False

    def merged(self, earlier: Mapping[str, JsonValue], later: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The properties out of two rows of the same key. Default: later values win."""
        return {**earlier, **later}

    def is_urgent(self, properties: Mapping[str, JsonValue]) -> bool:
        """Whether a change with these properties is sent before all others."""
        return False

    def column_of(self, property_id: str) -> str | None:
        """The column that a property is read from, for reasons of rejections."""
        return None

    ranks: Mapping[str, Sequence[str]] = MappingProxyType({})
    """Properties that may be lowered freely and are raised with care: their values from the lowest to the highest."""
    modes: Mapping[str, str] = MappingProxyType({})
    """Properties that are not sent whenever they differ, and by which rule; another rule makes them differ."""

    def arrange(self, change: Patch, differing: Collection[str]) -> Patch:
        """A change with what its first request carries, and what waits for a response. Pure.

        Default: the properties that differ go first. It is called before a plan is complete, and once more where rows
        of one key are merged.

        :param change: with all properties of its row, and what the journal knows of them.
        :param differing: the ids of those that Connectif has not accepted as they are.
        """
        whole = change.whole
        if len(differing) == len(whole):
            return change._replace(properties=whole, others=_NOTHING)
        others = {property_id: value for property_id, value in whole.items() if property_id not in differing}
        return change._replace(properties={name: whole[name] for name in differing}, others=others)

    def requests(self, change: Patch) -> tuple[int, int]:
        """How many requests a change of a plan takes, at least and at most, without retries and rejections."""
        return 1, 1

    def next_request(self, change: Patch, plan_age_s: float) -> Patch:
        """A change as its next request is to be, looked at just before it goes.

        :param plan_age_s: seconds since it was planned.
        """
        return change

    def step(self, change: Patch, came: Answer | Error) -> Step | None:
        """Where a change stands after a request. The default compares nothing, and nothing follows.

        :param change: as it was sent.
        :param came: the 2xx to it, or what came instead.
        :return: ``None``: the response policy decides.
        """
        return Step(change) if isinstance(came, Answer) else None

    def urgent_part(self, change: Patch) -> Patch | None:
        """What must be sent of a change that was rejected; ``None``: nothing, or it was sent alone already."""
        return None

    def urgent_part_of_row(self, number: int, row: Row) -> Patch | None:
        """What must be sent of a row though it is invalid or held; ``None``: nothing."""
        return None

    def warning_about(self, columns: Iterable[Any]) -> str | None:
        """What a person should know who overwrites these columns' properties with each change, for the log.

        :param columns: of the source, or the properties that :attr:`columns` stand for; each is asked about once.
        """
        return None

    @property
    def written_columns(self) -> Sequence[str] | None:
        """What :meth:`warning_about` is asked about; ``None``: the columns of the source."""
        return None

    @property
    def needs_definitions(self) -> bool:
        """Whether the account's own definitions decide what is valid."""
        return False

    def with_definitions(self, client: Client) -> Self:
        """The same resource, checked against the account's definitions, which this asks for. Retried by the run.

        :raises ConnectifHttpError: the response, if it is no 2xx.
        :raises NoAnswerError: no complete response.
        :raises MalformedAnswerError: a 2xx without definitions.
        """
        return self
