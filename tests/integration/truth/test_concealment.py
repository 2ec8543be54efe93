"""What Connectif says of a refusal shows no value of the row, however much of it the server quotes."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import error_class
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.reporting.reasons import public_reasons
from tests.support.airflow_runs import xcom
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_in_airflow, run_operator

ROW = {
    "email": "bartholomaeus.quitt@example.com",
    "_name": "Bartholomäus",
    "_surname": "Quittenbaum-Ñañez",
    "note": "Uferstraße 7, gelbes Haus am Steg",
    "phone": "+34 655 443 322",
    "chinese": "王小明",
    "hindi": "हिन्दी",
    "maiden": "O'Brien",
    "nick": "😀Maxi",
}
PATCH = {"rows": [ROW], "fields": "builtin", "properties": {"_name": "_name"}}

# The server's words, and what must not be left of them.
PARTS = {
    "the beginning": ("got 'Bartholomä…'", "barth"),
    "three dots": ("got Bartholom... which is wrong", "barth"),
    "two dots": ("got Barthol.. which is wrong", "barth"),
    "dots in brackets": ("got Barth[...] which is wrong", "barth"),
    "an ellipsis in HTML": ("got &quot;Barthol&hellip;&quot;", "barth"),
    "an ellipsis in JSON": ("got Barthol\\u2026", "barth"),
    "an ellipsis in percent encoding": ("got Barthol%E2%80%A6", "barth"),
    "in capitals": ("got BARTHOLO...", "barth"),
    "a few letters": ('got "Ba..."', '"ba'),
    "without a mark": ("the value begins with Bartholo", "barth"),
    "the end": ("got …omäus", "omäus"),
    "the end after dots": ("got ...omäus is wrong", "omäus"),
    "the middle": ("got '…tholom…'", "tholom"),
    "the middle without a mark": ("it contains tholom", "tholom"),
    "both ends": ("got Bart...mäus", "bart"),
    "stars": ("got Bart****", "bart"),
    "in backticks": ("`Barthol` is wrong", "barth"),
    "in typographic marks": ("“Barthol” is wrong", "barth"),
    "a quotation that is cut": ("got 'Barthol", "barth"),
    "of several words": ("got 'Uferstraße 7, gelb…'", "7"),
    "of an address": ("bartholomaeus.qui… is taken", "barth"),
    "of a domain": ("…quitt@examp… is taken", "quitt"),
    "of a number": ("got '+34655…'", "34655"),
    "of a few digits": ("got 655… here", "655"),
    "of a double name": ("got Quitten…", "quitt"),
    "letters with accents": ("got …ñañe…", "ñañe"),
    "Chinese, without blanks": ("姓名王小明无效", "小明"),
    "Chinese, cut": ("got 王小…", "王小"),
    "three letters": ("the value begins with Bar", "bar"),
    "an apostrophe": ("the value begins with O'Br", "o'br"),
    "an emoji in JSON": ("the value is \\ud83d\\ude00Maxi", "maxi"),
    "Hindi": ("got हिन्…", "हि"),
}


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_of_a_value_is_concealed(kind: str, strict: StrictServer, airflow_db: None) -> None:
    said, left = PARTS[kind]
    strict.reset(faults=[{"status": 422, "json": {"status": 422, "title": "Unprocessable", "detail": said}}])
    end = run_operator(**PATCH)
    assert end.state == "failed"
    (reason,) = end.summary["reasons"]
    assert left not in reason.casefold().removeprefix("http 422 unprocessable content: ")
    assert left not in str(end.error).casefold().partition("unprocessable")[2].replace("row 1", "")
    assert "***" in reason


def test_a_part_of_a_value_in_airflow(run_dag: Callable[..., Any], strict: StrictServer) -> None:
    entry = {"path": "/_name", "name": "_name", "reason": "must be shorter, got 'Bartholom…'"}
    strict.reset(faults=[{"status": 422, "json": {"status": 422, "title": "x", "validationErrors": [entry]}}])
    end = run_in_airflow(run_dag, **PATCH)
    assert xcom(end.dag_run, "patch", "summary")["reasons"] == {"HTTP 422 _name: must be shorter, got '***'": 1}


@pytest.mark.parametrize(
    "said",
    [
        "invalid option names; note is too long, at most 2000 characters",
        "don't use a phone number without a country code",
        "_name must match the pattern ^[a-z]+$",
        "value must be one of 'one', 'two'",
    ],
)
def test_what_a_person_can_act_on_stays(said: str) -> None:
    mapping = ContactMapping(properties={"_name": "_name"})
    patch = mapping.patch(1, ROW)
    assert public_reasons(error_class(422)(422, detail=said), patch, mapping) == (
        f"HTTP 422 Unprocessable Entity: {said}",
    ) or (said in public_reasons(error_class(422)(422, detail=said), patch, mapping)[0])


# A regular expression of all words of a row took seconds for each refusal, and held every other request up.
@pytest.mark.slow
def test_a_wide_row_s_reason_takes_milliseconds() -> None:
    chance = random.Random(7)

    def word() -> str:
        return "".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9)))

    row = {"email": "ana@example.com"} | {f"c{n}": " ".join(word() for _ in range(760))[:5000] for n in range(500)}
    row["c499"] = "Bartholomew " + row["c499"]
    mapping = ContactMapping(properties={f"p{n}": f"c{n}" for n in range(500)})
    patch = mapping.patch(1, row)
    error = error_class(422)(422, detail="p3 must have at most 100 characters, but got 'Bartholom…' and more")
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        (reason,) = public_reasons(error, patch, mapping)
        took.append(time.perf_counter() - begin)
    assert "arthol" not in reason
    assert min(took) < 0.5
