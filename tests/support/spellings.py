"""Values of each type of field as a warehouse may hold them, right and wrong, each with what is to become of it."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import phonenumbers

from tests.support.catalogue import catalogue, refusal

REFUSED = object()
"""Expected of a value that the field does not take, however it is read."""

Spelling = tuple[Any, Any]
"""A value as a warehouse may hold it, and what is to be sent for it: ``REFUSED``, or ``...`` for the judge to say."""

_ALPHABETS = (
    string.printable,
    "áéíñüßœŁ ",
    "日本語中文",
    "🎉👩‍👧",
    "e\u0301n\u0303",
    "שלום عربى",
    "١２Ⅷ½\u200b\u00a0'\"\\/\x00",
)
_PHONES = [
    (region, phonenumbers.example_number_for_type(region, kind))
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (0, 1, 3, 6)  # fixed, mobile, toll free, voice over IP
    if phonenumbers.example_number_for_type(region, kind)
]
_DOMAINS = {"exämple.com": "xn--exmple-cua.com", "Пример.рф": "xn--e1afmkfd.xn--p1ai", "日本.jp": "xn--wgv71a.jp"}


def texts(field: dict[str, Any], rng: random.Random) -> Spelling:
    most = field.get("maxLength", 60)
    alphabet = rng.choice(_ALPHABETS)
    fits = "".join(rng.choices(alphabet, k=rng.choice((1, most, rng.randint(1, most)))))
    trimmed: Any = fits.rstrip(" ") or (REFUSED if field["required"] else "")
    if "\0" in fits:
        trimmed = REFUSED
    number = rng.randint(-9, 9) if most < 8 else rng.randint(-99999, 99999)
    return rng.choice(
        [
            (fits, trimmed),
            (fits + " " * 9, trimmed),
            ("", REFUSED if field["required"] else ""),
            (number, str(number) if len(str(number)) <= most else REFUSED),
            (Decimal("4.50"), "4.5" if most > 2 else REFUSED),
            (28001.0, "28001" if most > 4 else REFUSED),
            (Decimal("1e22"), "1" + "0" * 22 if most > 22 else REFUSED),
            (rng.choice([1e22, 2.0**53, "a\0"]), REFUSED),
            (fits + "x" * (most + 1 - len(fits)), REFUSED if "maxLength" in field else ...),
            (rng.choice([b"x", True, float("nan"), "x\ud800", ["x"], date(2020, 1, 1)]), REFUSED),
        ]
    )


def emails(field: dict[str, Any], rng: random.Random) -> Spelling:
    local = rng.choice(["ana", "Ana.María", "o'neill+x", "stanisław", '"a b"', "a" * 64, "!#$%&*/=?^_`{|}~-", "用户"])
    domain = rng.choice(["example.com", "EXAMPLE.co.uk", "a-b.c3.museum", "x" * 63 + ".es", "example.test"])
    typed, ascii_form = rng.choice(list(_DOMAINS.items()))
    parts = "".join(rng.choices("ab.@ ñ-_\"(,\u200b'", k=rng.randint(1, 12)))
    return rng.choice(
        [
            (f"{local}@{domain}", f"{local}@{domain}"),
            (f"\t {local}@{domain}\u00a0\n", f"{local}@{domain}"),
            (f"{local}@{typed}", f"{local}@{ascii_form}"),
            (f"{parts}@{parts}.com", ...),
            (rng.choice([f"{local}@localhost", f"{local}@", f"@{domain}", "a@b@c.com", "a b@c.com", "", " "]), REFUSED),
            (
                rng.choice([f"{local}@{domain}.", f"{local}@-a.com", f"{local}@a_b.com", "x" * 250 + "@a.es", 7]),
                REFUSED,
            ),
        ]
    )


def phones(field: dict[str, Any], rng: random.Random) -> Spelling:
    e164, international, national = 0, 1, 2
    region, example = rng.choice(_PHONES)
    own = phonenumbers.region_code_for_country_code(int(field["defaultCountryCode"]))
    if rng.random() < 0.3:
        region, example = own, phonenumbers.example_number_for_type(own, rng.randint(0, 1))
    sent = phonenumbers.format_number(example, e164)
    inland = phonenumbers.format_number(example, national)
    spaced = phonenumbers.format_number(example, international)
    at_home = sent if region == own else ...
    return rng.choice(
        [
            (sent, sent),
            (f" {spaced} ", sent),
            (spaced.replace(" ", "\u00a0").replace("-", "\u2011"), sent),
            (inland, at_home),
            (f"({inland[:2]}) {inland[2:]}", ...),
            (f"00{sent[1:]}", ...),
            ("+" + "".join(rng.choices(string.digits, k=rng.randint(1, 18))), ...),
            ("".join(rng.choices(string.digits + " -.+/()", k=rng.randint(1, 18))), ...),
            (
                rng.choice(["", "+", f"tel:{sent}", f"{sent} ext 5", sent + "0" * 9, sent[:4], "+999" + sent[3:]]),
                REFUSED,
            ),
            (rng.choice([600123456, 6.0, True, "DOMINGO", "6OO123456", "+349999"]), REFUSED),
        ]
    )


def _within(number: Any, field: dict[str, Any], sent: Any = None) -> Any:
    low, high = field.get("minValue", number), field.get("maxValue", number)
    return (number if sent is None else sent) if low <= number <= high else REFUSED


def integers(field: dict[str, Any], rng: random.Random) -> Spelling:
    bounds = [field[name] + step for name in ("minValue", "maxValue") if name in field for step in (-1, 0, 1)]
    number = rng.choice([*bounds, 0, 2**63 - 1, -(2**63) + 1, rng.randint(-9, 9), rng.randint(-(10**15), 10**15)])
    forms = [number, str(number), f" {number:+} ", f"{number}.00", Decimal(number), Decimal(number) * Decimal("1.0")]
    forms += [float(number)] if abs(number) < 2**53 else []
    wrong = [
        2.0**53,
        "9007199254740992.0",
        "1.23457E+15",
        number + 0.5 if abs(number) < 2**50 else 0.5,
        f"{number},0",
        f"{number:,}_",
        True,
        2**63,
        "",
        "0x1F",
        "１",
    ]
    return rng.choice([*((form, _within(number, field)) for form in forms), (rng.choice(wrong), REFUSED)])


def decimals(field: dict[str, Any], rng: random.Random) -> Spelling:
    bounds = [field[name] + step for name in ("minValue", "maxValue") if name in field for step in (-0.25, 0, 0.25)]
    number = rng.choice([*bounds, 0.0, -0.0, 1e-7, 1e22, rng.uniform(-100, 100), round(rng.uniform(-1e6, 1e6), 2)])
    forms = [number, repr(number), f" {number!r}", Decimal(repr(number)), Decimal(repr(number)).normalize()]
    forms += [Decimal(repr(number)) * Decimal("1.0000000000000000000000001")]
    wrong = [float("inf"), float("nan"), "nan", "1,5", "1e999", Decimal("1e-400"), False, "", "€5"]
    return rng.choice([*((form, _within(number, field)) for form in forms), (rng.choice(wrong), REFUSED)])


def booleans(field: dict[str, Any], rng: random.Random) -> Spelling:
    truth = rng.random() < 0.5
    word = rng.choice(["true", "t", "yes", "y", "1"] if truth else ["false", "f", "no", "n", "0"])
    forms = [truth, int(truth), float(truth), Decimal(truth), word, word.upper(), f" {word.title()} "]
    forms += [bytes([truth]), bytearray([truth])]
    wrong = [2, -1, 0.5, "on", "sí", "truee", "", "2", "None", [], date(2020, 1, 1), float("nan")]
    return (rng.choice(forms), truth) if rng.random() < 0.8 else (rng.choice(wrong), REFUSED)


def dates(field: dict[str, Any], rng: random.Random) -> Spelling:
    edges = [datetime.fromisoformat(field[name]) for name in ("minDate", "maxDate") if name in field]
    instant = rng.choice([*edges, datetime(1980, 1, 1, tzinfo=UTC), datetime(2020, 2, 29, 12, tzinfo=UTC)])
    instant += rng.choice([0, 0, 1, -1]) * timedelta(seconds=rng.choice([1, 3600, 86400, 86400 * 9999]))
    instant = instant.replace(microsecond=0)
    zone = timezone(timedelta(minutes=15 * rng.randint(-48, 56)))
    midnight = instant.replace(hour=0, minute=0, second=0)

    def within(moment: datetime, sent: str) -> Any:
        low, high = field.get("minDate"), field.get("maxDate")
        early = low is not None and moment < datetime.fromisoformat(low)
        return REFUSED if early or (high is not None and moment > datetime.fromisoformat(high)) else sent

    local, day = midnight.replace(tzinfo=zone), f"{instant:%Y-%m-%d}"
    first = f"{day}T00:00:00Z"
    moment = midnight + timedelta(seconds=rng.randint(1, 86399))
    elsewhere = moment.astimezone(zone)
    return rng.choice(
        [
            *((form, within(midnight, day)) for form in (instant.date(), day, f" {day} ")),
            *((form, within(midnight, first)) for form in (midnight, first)),
            (instant.replace(tzinfo=None), within(instant, f"{instant:%Y-%m-%dT%H:%M:%S}Z")),
            *((form, within(midnight, first)) for form in (local, local.isoformat(" "))),
            (rng.choice([moment, f"{moment:%Y-%m-%dT%H:%M:%SZ}"]), REFUSED),
            (elsewhere, REFUSED if elsewhere.hour or elsewhere.minute or elsewhere.second else ...),
            (
                rng.choice(["17/05/1990", "1990-02-30", "1990", "", 19900517, f"{day}T25:00:00", "tomorrow", 5.0]),
                REFUSED,
            ),
        ]
    )


def _choice(field: dict[str, Any], rng: random.Random) -> Spelling:
    ids = [option["id"] for option in field["options"]]
    folded = [option["label"].casefold() for option in field["options"]]
    option = rng.choice(field["options"])
    label = option["label"].casefold()
    clear = folded.count(label) == 1 and label not in {i.casefold() for i in ids if i != option["id"]}
    by_label = option["id"] if clear else REFUSED if option["label"] not in ids else option["label"]
    forms = [(option["id"], option["id"]), (f"{option['id']}   ", option["id"]), (option["label"], by_label)]
    forms += [(option["label"].upper(), option["id"]), (f" {label} ", option["id"])] if clear else []
    forms += [(int(option["id"]), option["id"])] if option["id"].isdigit() else []
    wrong = [option["id"] + "!", "", "nothing", True, 5.5, float("nan"), b"gold"]
    return rng.choice(forms) if rng.random() < 0.85 else (rng.choice(wrong), REFUSED)


def radios(field: dict[str, Any], rng: random.Random) -> Spelling:
    return (["gold"], REFUSED) if rng.random() < 0.03 else _choice(field, rng)


def checkboxes(field: dict[str, Any], rng: random.Random) -> Spelling:
    chosen = [_choice(field, rng) for _ in range(rng.choice((1, 1, 2, 4)))]
    raw = [value for value, _ in chosen]
    if any(sent is REFUSED for _, sent in chosen):
        return raw, REFUSED
    sent = list(dict.fromkeys(option for _, option in chosen))
    listed = "{" + ",".join(json.dumps(str(value), ensure_ascii=False) for value in raw) + "}"
    forms: list[Spelling] = [
        (raw, sent),
        (tuple(raw), sent),
        (raw + raw, sent),
        (json.dumps(raw), sent),
        (listed, sent),
    ]
    if not any(set("|{[") & set(str(value)) for value in raw):
        forms.append(("|".join(map(str, raw)), sent))
    return rng.choice(forms) if rng.random() < 0.9 else (rng.choice(["", " ", 7, "[1", "{a", [[raw]]]), REFUSED)


SPELLINGS: dict[str, Callable[[dict[str, Any], random.Random], Spelling]] = {
    "text": texts,
    "email": emails,
    "phone": phones,
    "integer": integers,
    "decimal": decimals,
    "boolean": booleans,
    "date": dates,
    "radio": radios,
    "checkbox": checkboxes,
}
FIELDS = catalogue()


def spellings(kind: str, count: int) -> Iterator[tuple[dict[str, Any], Any, Any]]:
    """So many values of a type, over its custom fields by turns: definition, value, what is to be sent."""
    rng = random.Random(f"{kind} {count}")
    fields = [field for field in FIELDS if field["type"] == kind and field["custom"] and not field["readOnly"]]
    for n in range(count):
        field = fields[n % len(fields)]
        yield field, *SPELLINGS[kind](field, rng)


def fault(field: dict[str, Any], raw: Any, expected: Any, sent: Any) -> str | None:
    """What is wrong with what became of a value; ``sent`` is ``REFUSED`` where nothing was."""
    if sent is not REFUSED and (why := refusal(field, sent)):
        return f"{raw!r:.80} was sent as {sent!r:.80}, which {field!r:.300} does not take: {why}"
    if expected is not ... and sent != expected:
        return f"{raw!r:.80} became {sent!r:.80} and not {expected!r:.80}, for {field!r:.300}"
    return None
