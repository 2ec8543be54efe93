"""Values that nobody meant to send: each is sent in the documented form, or its row is invalid with column and rule.

Every value goes into a field of every type, through the operator and over HTTP, to a server with its own judgement.
"""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import json
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.records.rows import InvalidRow
from tests.support.catalogue import VARIANTS
from tests.support.catalogue_fixtures import CatalogueAccount
from tests.support.task_runs import run_operator


class Colour(str, enum.Enum):
    GOLD = "gold"


class Level(enum.IntEnum):
    HIGH = 7


class Mood(enum.Enum):
    GOOD = "gold"


def nested(depth: int) -> Any:
    inner: Any = "gold"
    for _ in range(depth):
        inner = {"a": [inner]}
    return inner


LOOP: list[Any] = []
LOOP.append(LOOP)
MADRID, NEW_YORK, KIRITIMATI = map(ZoneInfo, ("Europe/Madrid", "America/New_York", "Pacific/Kiritimati"))
LONG = 10_000_000
MILLION = 1_000_000


def as_text(value: str, **more: Any) -> dict[str, Any]:
    return {"text": value, "novel": value, **more}


def as_number(value: Any, text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "decimal": value, "novel": value, **more}


def as_date(value: str) -> dict[str, Any]:
    return {"date": value, "novel": value}


# name: value, and what a field of each type is sent; of the types that are not named the row is invalid. "novel" is
# a type that no document names: the value's own type decides.
HOSTILE: dict[str, tuple[Any, dict[str, Any]]] = {
    "NaN": (math.nan, {}),
    "infinity": (-math.inf, {}),
    "minus zero": (-0.0, as_number(0, "0", integer=0, boolean=False)),
    "minus zero as text": ("-0", as_text("-0", integer=0, decimal=0)),
    "1e400 as text": ("1e400", as_text("1e400")),
    "1e22": (1e22, {"decimal": 1e22}),
    "2 ** 53 as a float": (2.0**53, {"decimal": 2**53}),
    "2 ** 53 as a float's text": ("9007199254740992.0", as_text("9007199254740992.0", decimal=2**53)),
    "a spreadsheet's number": ("1.23457E+15", as_text("1.23457E+15", decimal=1234570000000000)),
    "a bit": (b"\x01", {"boolean": True, "novel": True}),
    "an address of a network": (ipaddress.ip_address("10.0.0.1"), as_text("10.0.0.1")),
    "the smallest double": (5e-324, as_number(5e-324, "0." + "0" * 323 + "5")),
    "national, with blanks": (" 600 123 456 ", as_text(" 600 123 456", phone="+34600123456")),
    "two noughts for a plus": ("00 34 600-123-456", as_text("00 34 600-123-456", phone="+34600123456")),
    "brackets": ("+34 (91) 123-45-67", as_text("+34 (91) 123-45-67", phone="+34911234567")),
    "a trunk zero": ("+44 (0)20 7707 0707", as_text("+44 (0)20 7707 0707", phone="+442077070707")),
    "digits of full width": ("１２３", as_text("１２３")),
    "emoji": ("👩‍👧🎉", as_text("👩‍👧🎉")),
    "a mark of direction": ("\u202eana@example.com", as_text("\u202eana@example.com")),
    "decomposed": ("José", as_text("José")),
    "a lone surrogate": ("gold\ud83c", {}),
    "a null character": ("\x00", {}),
    "a formula": ("=cmd|' /C calc'!A0", as_text("=cmd|' /C calc'!A0")),
    "the word NULL": ("NULL", as_text("NULL")),
    "10 MB of digits": ("1" * LONG, {}),
    "a million letters": ("é" * MILLION, {}),
    "a million blanks": (" " * MILLION, {}),
    "a million brackets": ("[" * MILLION, {}),
    "a million dots": ("a@" + "a." * MILLION, {}),
    "an array that never ends": ("{" + " " * 45_000 + '"}', as_text("{" + " " * 45_000 + '"}')),
    "bytes": (b"gold", {}),
    "a bytearray": (bytearray(b"gold"), {}),
    "a memoryview": (memoryview(b"gold"), {}),
    "40 digits": (Decimal("0." + "3" * 40), as_number(1 / 3, "0." + "3" * 40)),
    "40 digits before the dot": (Decimal("9" * 40), {"text": "9" * 40, "decimal": 1e40}),
    "a signalling NaN": (Decimal("sNaN"), {}),
    "2 ** 63": (2**63, {"text": "9223372036854775808", "decimal": 2.0**63}),
    "an integer of 5,000 digits": (10**5000, {}),
    "a third": (Fraction(1, 3), {}),
    "a fraction beyond doubles": (Fraction(10**400, 3), {}),
    "a whole fraction": (Fraction(14, 2), as_number(7, "7", integer=7)),
    "complex": (1j, {}),
    "year 1": (dt.date.min, as_date("0001-01-01")),
    "year 9999": (dt.datetime.max, as_date("9999-12-31T23:59:59.999999Z")),
    "the last midnight": (dt.datetime(9999, 12, 31), as_date("9999-12-31T00:00:00Z")),
    "year 1 in the east": (dt.datetime.min.replace(tzinfo=KIRITIMATI), {**as_date("0001-01-01T00:00:00Z")}),
    "before midnight": (dt.datetime(2026, 3, 28, 23, 59, 59, tzinfo=MADRID), {}),
    "midnight": (dt.datetime(2026, 3, 29, tzinfo=MADRID), as_date("2026-03-29T00:00:00Z")),
    "after midnight": (dt.datetime(2026, 3, 30, 0, 0, 1, tzinfo=NEW_YORK), {}),
    "a leap day of no leap year": ("2023-02-29", as_text("2023-02-29")),
    "a time": (dt.time(12), {}),
    "a span": (dt.timedelta(1), {}),
    "a UUID": (uuid.UUID(int=7), as_text("00000000-0000-0000-0000-000000000007")),
    "a nested dict": ({"a": {"b": ["gold"]}}, {"text": '{"a": {"b": ["gold"]}}'}),
    "a dict of depth 5,000": (nested(5_000), {}),
    "a list of itself": (LOOP, {}),
    "a generator": ((n for n in "ab"), {}),
    "an object": (object(), {}),
    "a class": (ValueError, {}),
    "a text enumeration": (Colour.GOLD, as_text("gold", radio="gold", checkbox=["gold"])),
    "an integer enumeration": (Level.HIGH, as_number(7, "7", integer=7)),
    "a plain enumeration": (Mood.GOOD, {}),
    "a set": ({"Silver", "gold"}, {"checkbox": ["gold", "silver"], "novel": ["Silver", "gold"]}),
    "a set with a huge number": ({10**5000}, {}),
    "a list with a hole": (["gold", None], {}),
    "an option twice": (("gold", "Gold card"), {"checkbox": ["gold"], "novel": ["gold", "Gold card"]}),
    "joined": ("gold|Silver", as_text("gold|Silver", checkbox=["gold", "silver"])),
    "an array of PostgreSQL": ('{"Gold card",none}', as_text('{"Gold card",none}', checkbox=["gold", "none"])),
    "an array of JSON": ('["silver"]', as_text('["silver"]', checkbox=["silver"])),
    "padded": ("gold      ", as_text("gold", radio="gold", checkbox=["gold"])),
    "a quoted local part": ('"a@b"@example.com', as_text('"a@b"@example.com', email='"a@b"@example.com')),
    "an address with its name": ("Ana <ana@example.com>", as_text("Ana <ana@example.com>")),
    "two addresses": ("a@example.com;b@example.com", as_text("a@example.com;b@example.com")),
    "a dot at the end": ("ana@example.com.", as_text("ana@example.com.")),
}


def of_pandas() -> dict[str, tuple[Any, dict[str, Any]]]:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    midnight = pd.Timestamp("2026-03-29", tz="Europe/Madrid")
    return {
        "np.int64": (np.int64(7), as_number(7, "7", integer=7)),
        "np.float64": (np.float64(0.5), as_number(0.5, "0.5")),
        "np.float32": (np.float32(0.1), as_number(0.10000000149011612, "0.10000000149011612")),
        "np.float64 NaN": (np.float64("nan"), {}),
        "np.bool": (np.bool_(True), {"boolean": True, "novel": True}),
        "np.str_": (np.str_("gold"), as_text("gold", radio="gold", checkbox=["gold"])),
        "np.bytes_": (np.bytes_(b"gold"), {}),
        "np.float32 of 2 ** 24": (np.float32(2**24), {"decimal": 2**24}),
        "np.float32 below it": (np.float32(2**24 - 1), as_number(2**24 - 1, "16777215", integer=2**24 - 1)),
        "np.float16 of 2 ** 11": (np.float16(2**11), {"decimal": 2**11}),
        "np.float64 of 2 ** 53": (np.float64(2**53), {"decimal": 2**53}),
        "np.int64 of 2 ** 53 + 1": (
            np.int64(2**53 + 1),
            as_number(2**53 + 1, "9007199254740993", integer=2**53 + 1),
        ),
        "datetime64[ns]": (np.datetime64("2026-03-29T00:30", "ns"), as_date("2026-03-29T00:30:00Z")),
        "datetime64[D]": (np.datetime64("2026-03-29"), as_date("2026-03-29")),
        "datetime64 NaT": (np.datetime64("NaT", "ns"), {}),
        "timedelta64[ns]": (np.timedelta64(5, "ns"), {}),
        "datetime64 of the year 20200": (np.datetime64("20200-01-01"), {}),
        "datetime64 before Christ": (np.datetime64("-0044-03-15"), {}),
        "timedelta64 in years": (np.timedelta64(3, "Y"), {}),
        "pd.Timestamp of the year 20200": (pd.Timestamp(np.datetime64("20200-01-01", "s")), {}),
        "pd.Timestamp before Christ": (pd.Timestamp(np.datetime64("-0044-03-15T05:00", "s")), {}),
        "an array": (np.array(["gold"]), {}),
        "an array of no dimension": (np.array(7), as_number(7, "7", integer=7)),
        "pd.Timestamp": (midnight, as_date("2026-03-29T00:00:00Z")),
        "pd.Timestamp in UTC": (midnight.tz_convert("UTC"), {}),
        "pd.Timestamp a nanosecond late": (midnight + pd.Timedelta(1), {}),
        "pd.Timedelta": (pd.Timedelta(5), {}),
        "pd.NaT": (pd.NaT, {}),
        "pd.NA": (pd.NA, {}),
        "a series": (pd.Series(["gold"]), {}),
        "an interval": (pd.Interval(0, 1), {}),
    }


TYPES = [*VARIANTS, "novel"]
COLUMN = {kind: f"{kind}_00" for kind in VARIANTS} | {"novel": "novel"}
NOVEL = {"id": "novel", "type": "novel", "custom": True, "readOnly": False, "required": False}


@pytest.mark.slow
@pytest.mark.parametrize("values", [lambda: HOSTILE, of_pandas], ids=["hand-written", "of pandas"])
def test_each_value_is_sent_as_documented_or_invalid(
    account: CatalogueAccount, tmp_path: Path, values: Callable[[], dict[str, tuple[Any, dict[str, Any]]]]
) -> None:
    account.reset(add=[NOVEL])
    cases = [(name, kind, *case) for name, case in values().items() for kind in TYPES]
    rows = [{"email": f"{n}@example.com", COLUMN[kind]: value} for n, (_, kind, value, _) in enumerate(cases)]
    done = run_operator(rows=iter(rows), rejects_path=str(tmp_path / "rejects.jsonl"), failure_budget=1.0)
    report = account.report()
    assert (done.state, done.summary["read"], report["refused"]) == ("success", len(rows), [])
    rejects = {reject["row_number"]: reject for reject in map(json.loads, (tmp_path / "rejects.jsonl").open())}
    faults = []
    for n, (name, kind, _, expected) in enumerate(cases):
        reject, arrived = rejects.get(n + 1), report["contacts"].get(f"{n}@example.com")
        if kind in expected:
            good = reject is None and arrived == {COLUMN[kind]: expected[kind]}
        else:
            (reason,) = reject["reasons"] if reject else [""]
            good = arrived is None and reason.startswith(f'column "{COLUMN[kind]}" ') and len(reason) < 200
        if not good:
            faults.append((name, kind, expected.get(kind), arrived, reject and reject["reasons"]))
    assert faults == []


def _raise(*_: Any) -> Any:
    raise RuntimeError("secret")


class NoMapping(dict[str, Any]):
    items = keys = values = _raise


class NoList(list[Any]):
    __iter__ = _raise


class NoNumber(float):
    __float__ = __repr__ = __ne__ = _raise  # type: ignore[assignment]


class NoText(str):
    strip = __contains__ = __str__ = _raise  # type: ignore[assignment]


class NoAttributes:
    __getattr__ = __repr__ = _raise


@pytest.mark.parametrize("value", [NoMapping(a=1), NoList("a"), NoNumber(1.5), NoText("a"), NoAttributes()], ids=type)
def test_a_value_whose_class_raises_loses_no_other_row(value: Any, account: CatalogueAccount, tmp_path: Path) -> None:
    rows = [{"email": "a@example.com", "_birthdate": value}, {"email": value}, {"email": "b@example.com"}]
    run = run_operator(rows=iter(rows), rejects_path=str(tmp_path / "rejects.jsonl"), failure_budget=2)
    assert (run.state, run.summary["invalid"], run.summary["created"]) == ("success", 2, 1)
    assert "secret" not in f"{run.summary}{(tmp_path / 'rejects.jsonl').read_text()}"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("key", ["email", "external_id"])
def test_each_value_as_the_contact_key(account: CatalogueAccount, key: Any) -> None:
    rows = [{key: value, "_name": "Ana"} for value, _ in HOSTILE.values()]
    done = run_operator(rows=iter(rows), key=key, failure_budget=1.0)
    report = account.report()
    assert (done.state, done.summary["read"], report["refused"]) == ("success", len(rows), [])
    keys = {
        "email": {'"a@b"@example.com'},
        "external_id": {"0", "-0", "7", str(uuid.UUID(int=7))},
    }
    assert keys[key] <= set(report["contacts"])
    counted = ("created", "updated", "invalid", "merged")  # "minus zero as text" is "-0", but two values are 0, two 7
    assert sum(done.summary[name] for name in counted) == len(rows)
    assert done.summary["created"] == len(report["contacts"])


SCALARS = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.fractions() | st.uuids(),
    st.text(st.characters(exclude_categories=[])) | st.binary(),
    st.dates() | st.times() | st.datetimes(timezones=st.none() | st.timezones()) | st.timedeltas(),
    st.emails()
    | st.from_regex(r"\A(\+|00)?[0-9 ().-]{1,20}\Z")
    | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}.{0,9}\Z"),
    st.sampled_from(["gold", "Silver", "gold|none", "{gold,silver}", '["none"]', "yes", "1e400", "NaN", " 7 "]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from([f"{kind}_{n:02}" for kind in VARIANTS for n in range(8)]), VALUES)))
def test_whatever_comes_the_account_refuses_nothing(account: CatalogueAccount, values: list[tuple[str, Any]]) -> None:
    account.reset()
    rows = [{"email": f"{n}@example.com", column: value} for n, (column, value) in enumerate(values)]
    done = run_operator(rows=iter(rows), nulls="clear", failure_budget=1.0)
    assert (done.state, account.report()["refused"]) == ("success", [])
    assert done.summary["read"] == len(rows) == done.summary["created"] + done.summary["invalid"]


ZONES = ["UTC", "Europe/Madrid", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"]


def test_a_birthday_stays_on_its_day_whatever_the_driver_s_time_zone(account: CatalogueAccount) -> None:
    birth = dt.datetime(1990, 5, 17)
    rows = [{"email": f"{n}@example.com", "_birthdate": birth.replace(tzinfo=ZoneInfo(z))} for n, z in enumerate(ZONES)]
    assert run_operator(rows=rows).state == "success"
    sent = {contact["_birthdate"] for contact in account.report()["contacts"].values()}
    assert sent == {"1990-05-17T00:00:00Z"}


def test_nothing_is_cleared_that_always_holds_a_value(account: CatalogueAccount) -> None:
    columns = [f"{kind}_{n:02}" for kind in VARIANTS for n in range(5)]
    row = dict.fromkeys(columns) | {"email": "ana@example.com"}
    assert run_operator(rows=[row], nulls="clear").state == "success"
    kept = {name for name in columns if name.startswith(("boolean", "checkbox"))} | {"text_04"}
    assert account.report()["contacts"] == {"ana@example.com": dict.fromkeys(set(columns) - kept)}


def library_s(text: str, region: str | None = None) -> str | None:
    """A number as the library writes it, where it is whole, fits E.164 and is left alone when it is read again."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    whole = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    stable = written == text or library_s(written) == written
    return written if whole and stable and 8 <= len(written) <= 16 else None


@pytest.mark.slow
def test_phones_of_all_countries_get_the_library_s_verdict() -> None:
    """National and international forms, with and without trunk prefixes; well-formed E.164 takes no other way."""
    faults = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        mapping = ContactMapping(properties={"_mobilePhone": "phone"}, default_region=region)
        for kind in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            code, digits = example.country_code, phonenumbers.national_significant_number(example)
            forms = [phonenumbers.format_number(example, form) for form in (0, 1, 2)]
            forms += [f"+{code}{more}{digits}" for more in ("0", "(0)", "8", "15")] + [f"0{digits}", f"{code}{digits}"]
            forms += [f"+{code}{digits[:-1]}", f"+{code}{digits[1:]}", f"+{code}{digits}0"]
            for form in forms:
                verdict = library_s(form, region)
                try:
                    got = mapping.patch(1, {"email": "a@example.com", "phone": form}).properties["_mobilePhone"]
                except InvalidRow:
                    got = None
                if got != verdict:
                    faults.append((region, form, verdict, got))
    assert faults[:10] == []
