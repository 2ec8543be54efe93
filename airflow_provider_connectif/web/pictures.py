"""Pictures as inline SVG: a run's rows by outcome, and the last runs of a sync. The style sheet has the colours."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_connectif.journal.overview_records import DagRunRecord, RunRecord
from airflow_provider_connectif.look import bands
from airflow_provider_connectif.look.markup import number, plain
from airflow_provider_connectif.reporting.verdict import verdict_in_words


def picture_of_rows(run: RunRecord) -> str:
    """Return the picture of a run's rows by outcome."""
    return bands.picture_of_rows(run.counts["rows_read"], run.counts)


def last_runs(runs: Sequence[DagRunRecord]) -> str:
    """Return a picture with a bar for each run, the newest on the right. The height of a bar is the number of rows that
    needed delivery.

    :param runs: the newest first.
    """
    heights = [run.delivered + run.refused + run.counts["undelivered"] for run in runs]
    most = max([*heights, 1])
    drawn = []
    for place, (run, height) in enumerate(reversed(list(zip(runs, heights, strict=True)))):
        size = 3 + 27 * height / most
        words = (
            f"{run.started_at:%Y-%m-%d %H:%M} UTC: {verdict_in_words(run.verdict)}, {number(run.delivered)} delivered"
        )
        drawn.append(
            f'<rect class="v-{run.verdict or "open"}" x="{place * 7}" y="{32 - size:.1f}" width="5" '
            f'height="{size:.1f}"><title>{plain(words)}, {number(run.refused)} refused</title></rect>'
        )
    good = sum(run.verdict == "success" for run in runs)
    label = f"The last {len(runs)} runs; {good} succeeded"
    return f'<svg class="runs" viewBox="0 0 210 32" role="img" aria-label="{label}">{"".join(drawn)}</svg>'
