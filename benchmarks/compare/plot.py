"""The picture of a comparison: an SVG made by hand, light or dark."""

from __future__ import annotations

import math
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from compare.summary import FLOOR


class Theme(NamedTuple):
    """The colours of a picture."""

    text: str
    faint: str
    ours: str
    others: str
    ground: str


_THEMES = {
    "light": Theme("#1f2328", "#d0d7de", "#0969da", "#6e7781", "#ffffff"),
    "dark": Theme("#e6edf3", "#30363d", "#58a6ff", "#8b949e", "#0d1117"),
}
_PANELS = (
    ("drain_2", "Drain of queued no-ops by two processes, tasks/s", "more is better", True),
    ("enqueue_one", "Enqueue one by one, tasks/s", "more is better", True),
    ("round_trip_p50_ms", "Round trip, median, ms", "less is better", False),
)
_WIDTH, _LEFT, _RIGHT, _ROW, _HEAD = 800, 250, 90, 22, 52


def plot(summary: dict[str, Any], theme: str) -> str:
    """Return the picture: for each figure a dot for the median and a line from the least to the most.

    The scales are logarithmic, because the systems differ by factors of a hundred.
    """
    colours = _THEMES[theme]
    parts, top = [], 0
    for key, title, hint, more in _PANELS:
        rows = [(name, figures[key]) for name, figures in summary.items() if figures[key]]
        if rows:
            rows.sort(key=lambda row: row[1]["median"], reverse=more)
            parts.append(_panel(rows, title, hint, top, colours))
            top += _HEAD + _ROW * len(rows) + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img">\n'
        f'<rect width="{_WIDTH}" height="{top}" fill="{colours.ground}"/>\n' + "".join(parts) + "</svg>\n"
    )


def _panel(rows: list[tuple[str, dict[str, Any]]], title: str, hint: str, top: int, colours: Theme) -> str:
    low = math.floor(math.log10(min(found["min"] for _, found in rows)))
    high = math.ceil(math.log10(max(found["max"] for _, found in rows)))
    high = max(high, low + 1)

    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    bottom = top + _HEAD + _ROW * len(rows)
    parts = [
        f'<text x="16" y="{top + 26}" font-weight="600" fill="{colours.text}">{escape(title)}'  # noqa: ISC004 - one text
        f'<tspan font-weight="400" fill="{colours.others}"> ({hint})</tspan></text>\n'
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top + _HEAD - 10}" y2="{bottom}" stroke="{colours.faint}"/>\n'
            f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle" font-size="11" fill="{colours.others}">'
            f"{_number(10.0**power)}</text>\n"
        )
    for index, (name, found) in enumerate(rows):
        y = top + _HEAD + _ROW * index + 4
        colour = colours.ours if name.startswith("streamtasks") else colours.others
        weight = "600" if name.startswith("streamtasks") else "400"
        dot = f'fill="{colours.ground}" stroke="{colour}" stroke-width="2"' if name == FLOOR else f'fill="{colour}"'
        parts.append(
            f'<text x="{_LEFT - 14}" y="{y + 4}" text-anchor="end" font-weight="{weight}" fill="{colours.text}">'
            f"{escape(name)}</text>\n"
            f'<line x1="{x(found["min"]):.1f}" x2="{x(found["max"]):.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
            f'stroke-width="2"/>\n<circle cx="{x(found["median"]):.1f}" cy="{y}" r="5" {dot}/>\n'
            f'<text x="{_WIDTH - 16}" y="{y + 4}" text-anchor="end" fill="{colours.text}">'
            f"{_number(found['median'])}</text>\n"
        )
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
