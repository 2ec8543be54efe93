"""A picture of rows or requests by outcome, as inline SVG. Its colours come from the style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_connectif.look.markup import number, plain

GROUPS: Mapping[str, tuple[str, ...]] = {
    "delivered": ("created", "updated", "imported", "deleted"),
    "settled": ("unchanged", "merged", "skipped", "not_taken", "suppressed", "absent"),
    "refused": ("invalid", "rejected", "held"),
    "undelivered": ("undelivered",),
}
"""The outcomes of rows, grouped by their meaning for the reader."""

_WIDTH, _LEAST, _HEIGHT, _GAP, _TOP = 380, 20, 170, 6, 26
_FROM_X, _GROUP_X, _TO_X, _BAR = 4, 92, 196, 10


@dataclass(frozen=True, slots=True)
class Part:
    """The rows or requests with one outcome.

    ``group``: a key of :data:`GROUPS`, which gives the colour. ``words``: the outcome. ``count``: their number, at
    least 1.
    """

    group: str
    words: str
    count: int


def picture_of_rows(rows_read: int, counts: Mapping[str, int]) -> str:
    """Return the picture of a run's rows by outcome.

    :param rows_read: the number of all rows.
    :param counts: the counts of the summary by name. Only the outcomes in :data:`GROUPS` are shown.
    """
    parts = [
        Part(group, name.replace("_", " "), counts[name])
        for group, names in GROUPS.items()
        for name in names
        if counts.get(name)
    ]
    return draw(f"{number(rows_read)} rows read", parts) if parts else '<p class="quiet">No row has an outcome yet.</p>'


def draw(head: str, parts: Sequence[Part]) -> str:
    """Return a picture: bands lead from one bar to a bar for each group, and from there to a bar for each part.

    The height of a bar shows the number of rows or requests.

    :param head: the words above the first bar.
    :param parts: at least one part, sorted by group in the order of :data:`GROUPS`.
    """
    total = sum(part.count for part in parts)
    slots = [max(_LEAST, _HEIGHT * part.count / total) for part in parts]
    height = _TOP + sum(slots) + _GAP * (len(parts) - 1) + 6
    sizes = {group: sum(part.count for part in parts if part.group == group) for group in GROUPS}
    group_height = (height - _TOP - 6 - _GAP * (sum(map(bool, sizes.values())) - 1)) / total
    drawn, top_of_group, from_y = [], float(_TOP), float(_TOP)
    starts: dict[str, float] = {}
    from_scale = (height - _TOP - 6) / total
    for group, size in sizes.items():
        if size:
            starts[group] = top_of_group
            drawn.append(
                _band(group, _FROM_X + _BAR, from_y, size * from_scale, _GROUP_X, top_of_group, size * group_height)
            )
            drawn.append(_bar(group, _GROUP_X, top_of_group, size * group_height))
            from_y += size * from_scale
            top_of_group += size * group_height + _GAP
    y = float(_TOP)
    for part, slot in zip(parts, slots, strict=True):
        band_height = part.count * group_height
        drawn.append(_band(part.group, _GROUP_X + _BAR, starts[part.group], band_height, _TO_X, y, slot))
        starts[part.group] += band_height
        drawn.append(_bar(part.group, _TO_X, y, slot))
        text = f"{number(part.count)} {plain(part.words)}"
        drawn.append(f'<text x="{_TO_X + _BAR + 6}" y="{y + slot / 2 + 4:.1f}">{text}</text>')
        y += slot + _GAP
    drawn.append(_bar("read", _FROM_X, _TOP, height - _TOP - 6))
    drawn.append(f'<text x="{_FROM_X}" y="16" class="head">{plain(head)}</text>')
    words = f"{head}: " + ", ".join(f"{number(part.count)} {part.words}" for part in parts)
    return (
        f'<svg class="way" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{plain(words)}">'
        f"{''.join(drawn)}</svg>"
    )


def _bar(kind: str, x: float, y: float, height: float) -> str:
    return f'<rect class="g-{kind}" x="{x}" y="{y:.1f}" width="{_BAR}" height="{max(1.0, height):.1f}" rx="2"/>'


def _band(kind: str, x1: float, y1: float, h1: float, x2: float, y2: float, h2: float) -> str:
    middle = (x1 + x2) / 2
    return (
        f'<path class="b-{kind}" d="M{x1} {y1:.1f}C{middle} {y1:.1f} {middle} {y2:.1f} {x2} {y2:.1f}'
        f'V{y2 + h2:.1f}C{middle} {y2 + h2:.1f} {middle} {y1 + h1:.1f} {x1} {y1 + h1:.1f}Z"/>'
    )
