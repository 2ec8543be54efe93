"""The page's section on the rate limit: the window now, and all windows over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from airflow_provider_connectif.look.markup import number
from airflow_provider_connectif.sandbox.window import KEPT_WINDOWS, RateWindow, WindowUse

_WIDTH, _HEIGHT, _BAR, _STEP = 420, 90, 5, 7


def windows_section(window: RateWindow) -> str:
    """Return the section: the window now, the number of windows, and a bar for each of the last ones."""
    return (
        '<section aria-labelledby="windows"><h2 id="windows">Rate limit</h2>'
        f"{_now(window)}{_so_far(window)}{_bars(list(window.latest), window.limit)}</section>"
    )


def _now(window: RateWindow) -> str:
    now = window.peek()
    if not now.limit:
        return '<p class="figure">no limit<small> of requests</small></p>'
    opens = f"a new window opens in {now.reset_in_s:.0f} s" if now.reset_in_s else "the next request opens a window"
    return (
        f'<p class="figure">{number(now.limit - now.remaining)}<small> of {number(now.limit)} requests used in '
        f"{window.seconds:g} s; {opens}</small></p>"
    )


def _so_far(window: RateWindow) -> str:
    windows = [window.earlier, *window.latest]
    used, refused = sum(one.used for one in windows), sum(one.refused for one in windows)
    count = window.earlier_count + len(window.latest)
    if not count:
        return ""
    words = f"{number(count)} {'window' if count == 1 else 'windows'} so far: {number(used)} requests passed"
    beyond = f", {number(refused)} were beyond the limit (429)" if window.limit else ""
    shown = f"; the last {KEPT_WINDOWS} below" if window.earlier_count else ""
    return f"<p>{words}{beyond}{shown}.</p>"


def _bars(windows: Sequence[WindowUse], limit: int) -> str:
    if not windows:
        return ""
    most = max([limit, *(one.used + one.refused for one in windows)])
    scale = (_HEIGHT - 6) / most
    drawn = []
    for place, one in enumerate(windows):
        x, passed, refused = place * _STEP, one.used * scale, one.refused * scale
        words = f"{_clock(one)} UTC: {number(one.used)} passed, {number(one.refused)} beyond the limit"
        drawn.append(
            f"<g><title>{words}</title>"
            f'<rect class="g-delivered" x="{x}" y="{_HEIGHT - passed:.1f}" width="{_BAR}" height="{passed:.1f}"/>'
            f'<rect class="g-undelivered" x="{x}" y="{_HEIGHT - passed - refused:.1f}" width="{_BAR}" '
            f'height="{refused:.1f}"/></g>'
        )
    if limit:
        y = f"{_HEIGHT - limit * scale:.1f}"
        drawn.append(f'<line class="limit" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>')
    label = f"Requests in each of the last {len(windows)} windows"
    times = f"A bar for each window, opened from {_clock(windows[0])} to {_clock(windows[-1])} UTC."
    return (
        f'<svg class="windows" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{"".join(drawn)}</svg>'
        f'<p class="quiet">{times}</p>'
    )


def _clock(window: WindowUse) -> str:
    return f"{datetime.fromtimestamp(window.opened_epoch, UTC):%H:%M:%S}"
