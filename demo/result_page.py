"""The demo's result as a page: the acts, each with the picture of its run, and the checks. It needs no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_connectif.look.bands import picture_of_rows
from airflow_provider_connectif.look.markup import moment, number, shown
from airflow_provider_connectif.look.style import STYLE
from demo.airflow_home import Run
from demo.checks import Result

_STYLE = f"""{STYLE}
.columns{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:0 32px}}
.columns>section{{min-width:0}}
ul.checks{{list-style:none;padding:0}}
ul.checks li{{padding:3px 0}}
.ok::before{{content:"✓ ";color:var(--delivered);font-weight:600}}
.wrong{{color:var(--refused)}}.wrong::before{{content:"✗ failed: ";font-weight:600}}
"""


def result_page(acts: Mapping[str, Run], results: Sequence[Result]) -> str:
    """The whole page.

    :param acts: the run of each act, by its title.
    :param results: of the checks.
    """
    broken = sum(not result.holds for result in results)
    verdict = "All checks hold." if not broken else f"{broken} of {len(results)} checks do not hold."
    checks = "".join(
        f'<li class="{"ok" if result.holds else "wrong"}">{shown(result.words)}</li>' for result in results
    )
    sections = "".join(_act(place, title, run) for place, (title, run) in enumerate(acts.items(), 1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Connectif demo: {verdict}</title>
<style>{_STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<main id="content">
<h1>Connectif demo</h1>
<p>It ended at {moment(datetime.now(UTC))}. What the sandbox holds: <a href="sandbox.html">sandbox.html</a>.</p>
<section aria-labelledby="checks"><h2 id="checks">{verdict}</h2><ul class="checks">{checks}</ul></section>
<div class="columns">
{sections}
</div>
</main>
</body>
</html>
"""


def _act(place: int, title: str, run: Run) -> str:
    summary = run.summary
    verdict = "success" if run.state == "success" else "failed"
    facts = [
        ("Task", f'<span class="verdict {verdict}">{shown(run.state)}</span>'),
        ("Requests", f"{number(summary['requests'])}, of these {number(summary['rate_limited'])} with 429"),
        ("Took", f"{summary['duration_s']:.1f} s"),
        ("Waited for the rate limit", f"{summary['waited_s']:.1f} s"),
    ]
    if summary.get("consent_kept"):
        facts.append(("Consents kept", number(summary["consent_kept"])))
    entries = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    failure = f'<p class="note" role="alert">{shown(run.failure)}</p>' if run.failure else ""
    picture = picture_of_rows(summary["read"], summary)
    return (
        f'<section aria-labelledby="act-{place}"><h2 id="act-{place}">{place}. {shown(title)}</h2>'
        f'<dl class="facts">{entries}</dl>{failure}{picture}{_reasons(summary)}</section>'
    )


def _reasons(summary: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td>{shown(reason)}</td><td class="n" data-name="rows">{number(count)}</td></tr>'
        for reason, count in summary["reasons"].items()
    )
    if not rows:
        return ""
    head = '<thead><tr><th scope="col">Reason</th><th scope="col" class="n">Rows</th></tr></thead>'
    return (
        "<details><summary>Reasons of refused rows</summary>"
        f'<div class="table"><table>{head}<tbody>{rows}</tbody></table></div></details>'
    )
