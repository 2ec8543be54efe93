"""Pictures as inline SVG: the way of a run's rows, and the last runs of a sync. The style sheet has the colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_connectif.journal.overview_records import RunRecord
from airflow_provider_connectif.web.markup import number, plain

GROUPS: Mapping[str, tuple[str, ...]] = {
    "delivered": ("created", "updated", "imported", "deleted"),
    "settled": ("unchanged", "merged", "skipped", "not_taken", "suppressed", "absent"),
    "refused": ("invalid", "rejected", "held"),
    "undelivered": ("undelivered",),
}
"""The outcomes of rows, by their meaning for a person."""

_WIDTH, _LEAST, _HEIGHT, _GAP, _TOP = 380, 20, 170, 6, 26
_FROM_X, _GROUP_X, _TO_X, _BAR = 4, 92, 196, 10


def way_of_rows(run: RunRecord) -> str:
    """Draw the way of a run's rows from read to their outcomes, as bands; the height is the number of rows."""
    parts = [
        (group, name, run.counts[name]) for group, names in GROUPS.items() for name in names if run.counts.get(name)
    ]
    total = sum(count for _, _, count in parts)
    if not total:
        return '<p class="quiet">No row has an outcome yet.</p>'
    slots = [max(_LEAST, _HEIGHT * count / total) for _, _, count in parts]
    height = _TOP + sum(slots) + _GAP * (len(parts) - 1) + 6
    sizes = {group: sum(count for g, _, count in parts if g == group) for group in GROUPS}
    group_height = (height - _TOP - 6 - _GAP * (sum(map(bool, sizes.values())) - 1)) / total
    drawn, top_of_group, read_y = [], float(_TOP), float(_TOP)
    starts: dict[str, float] = {}
    read_scale = (height - _TOP - 6) / total
    for group, size in sizes.items():
        if size:
            starts[group] = top_of_group
            drawn.append(
                _band(group, _FROM_X + _BAR, read_y, size * read_scale, _GROUP_X, top_of_group, size * group_height)
            )
            drawn.append(_bar(group, _GROUP_X, top_of_group, size * group_height))
            read_y += size * read_scale
            top_of_group += size * group_height + _GAP
    y = float(_TOP)
    for (group, name, count), slot in zip(parts, slots, strict=True):
        band_height = count * group_height
        drawn.append(_band(group, _GROUP_X + _BAR, starts[group], band_height, _TO_X, y, slot))
        starts[group] += band_height
        drawn.append(_bar(group, _TO_X, y, slot))
        words = f"{number(count)} {name.replace('_', ' ')}"
        drawn.append(f'<text x="{_TO_X + _BAR + 6}" y="{y + slot / 2 + 4:.1f}">{words}</text>')
        y += slot + _GAP
    drawn.append(_bar("read", _FROM_X, _TOP, height - _TOP - 6))
    drawn.append(f'<text x="{_FROM_X}" y="16" class="head">{number(run.counts["rows_read"])} rows read</text>')
    told = ", ".join(f"{number(count)} {name.replace('_', ' ')}" for _, name, count in parts)
    words = f"{number(run.counts['rows_read'])} rows read: {told}"
    return (
        f'<svg class="way" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{words}">{"".join(drawn)}</svg>'
    )


def last_runs(runs: Sequence[RunRecord]) -> str:
    """Draw the last runs as bars, the newest on the right; the height is the number of rows that needed delivery.

    :param runs: the newest first.
    """
    heights = [run.delivered + run.refused + run.counts["undelivered"] for run in runs]
    most = max([*heights, 1])
    drawn = []
    for place, (run, height) in enumerate(reversed(list(zip(runs, heights, strict=True)))):
        size = 3 + 27 * height / most
        words = f"{run.started_at:%Y-%m-%d %H:%M} UTC: {verdict_words(run)}, {number(run.delivered)} delivered"
        drawn.append(
            f'<rect class="v-{run.verdict or "open"}" x="{place * 7}" y="{32 - size:.1f}" width="5" '
            f'height="{size:.1f}"><title>{plain(words)}, {number(run.refused)} refused</title></rect>'
        )
    good = sum(run.verdict == "success" for run in runs)
    label = f"The last {len(runs)} runs; {good} succeeded"
    return f'<svg class="runs" viewBox="0 0 210 32" role="img" aria-label="{label}">{"".join(drawn)}</svg>'


def verdict_words(run: RunRecord) -> str:
    """Describe the end of a run."""
    return {"try_again": "failed, to be retried", None: "not ended"}.get(run.verdict, str(run.verdict))


def _bar(kind: str, x: float, y: float, height: float) -> str:
    return f'<rect class="g-{kind}" x="{x}" y="{y:.1f}" width="{_BAR}" height="{max(1.0, height):.1f}" rx="2"/>'


def _band(kind: str, x1: float, y1: float, h1: float, x2: float, y2: float, h2: float) -> str:
    middle = (x1 + x2) / 2
    return (
        f'<path class="b-{kind}" d="M{x1} {y1:.1f}C{middle} {y1:.1f} {middle} {y2:.1f} {x2} {y2:.1f}'
        f'V{y2 + h2:.1f}C{middle} {y2 + h2:.1f} {middle} {y1 + h1:.1f} {x1} {y1 + h1:.1f}Z"/>'
    )
