"""The tables of a comparison, and their place in the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compare.catalog import SYSTEMS
from compare.plot import plot
from compare.summary import FLOOR

PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"
FIGURES_MARKS = "<!-- figures: written by benchmarks/compare --write-docs -->", "<!-- end of figures -->"
SETTINGS_MARKS = "<!-- settings: written by benchmarks/compare --write-docs -->", "<!-- end of settings -->"
THEMES = ("light", "dark")

_TABLES: tuple[tuple[str, tuple[tuple[str, str, int], ...], bool], ...] = (
    (
        "Tasks a second: median (least to most), and the ratio to the floor of the same round",
        (
            ("drain, one process", "drain_1", 0),
            ("drain, two processes", "drain_2", 0),
            ("enqueue one by one", "enqueue_one", 0),
            ("enqueue many in one call", "enqueue_many", 0),
        ),
        True,
    ),
    (
        "Milliseconds: median (least to most) of the rounds",
        (
            ("start, p50", "start_p50_ms", 2),
            ("start, p99", "start_p99_ms", 2),
            ("round trip, p50", "round_trip_p50_ms", 2),
            ("round trip, p99", "round_trip_p99_ms", 2),
        ),
        False,
    ),
    (
        "Cost of a task: median (least to most)",
        (
            ("bytes while queued", "bytes_per_queued", 0),
            ("producer, us", "producer_us", 0),
            ("workers, us", "worker_us", 0),
            ("server, us", "server_us", 1),
        ),
        False,
    ),
)


def tables(run: dict[str, Any]) -> str:
    """Return a run as Markdown."""
    parts = [_about(run)]
    for title, columns, with_ratio in _TABLES:
        lines = [f"{title}:", "", _row(["", *(head for head, _, _ in columns)]), _row(["---"] * (len(columns) + 1))]
        for name, figures in run["summary"].items():
            cells = [_cell(figures[key], digits, with_ratio and name != FLOOR) for _, key, digits in columns]
            lines.append(_row([name, *cells]))
        parts.append("\n".join(lines))
    if run["failures"]:
        parts.append("\n".join(f"- {name} failed: {text.splitlines()[0]}" for name, text in run["failures"].items()))
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Return what was set for which system, as Markdown."""
    lines = [_row(["system", "set", "because", "page of its documentation"]), _row(["---"] * 4)]
    for listed in SYSTEMS.values():
        for number, one in enumerate(listed.settings):
            lines.append(_row([listed.name if not number else "", one.what, one.why, one.page or "-"]))
    lines += ["", _row(["system", "versions", "a task whose worker is killed"]), _row(["---"] * 3)]
    for listed in SYSTEMS.values():
        ranges = ", ".join(f"`{name}`" for name in listed.requires) or "this checkout"
        lines.append(_row([listed.name, ranges, listed.durability]))
    return "\n".join(lines) + "\n"


def write_docs(run: dict[str, Any] | None) -> None:
    """Write the settings, and the figures and pictures of a run, into the page."""
    text = _between(PAGE.read_text("utf-8"), SETTINGS_MARKS, settings())
    if run is not None:
        for theme in THEMES:
            PAGE.with_name(f"performance-{theme}.svg").write_text(plot(run["summary"], theme), "utf-8")
        picture = (
            '<picture><source media="(prefers-color-scheme: dark)" srcset="performance-dark.svg">'
            '<img alt="Drains, enqueueing and round trips of all systems" src="performance-light.svg"></picture>'
        )
        text = _between(text, FIGURES_MARKS, f"{picture}\n\n{tables(run)}")
    PAGE.write_text(text, "utf-8")


def _between(text: str, marks: tuple[str, str], new: str) -> str:
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise SystemExit(f"{PAGE} lacks the marks {marks[0]} and {marks[1]}")
    return f"{before}{begin}\n\n{new}\n{end}{after}"


def _about(run: dict[str, Any]) -> str:
    before, after = (run["noise"][when]["loop_ms"]["median"] for when in ("before", "after"))
    loads = [f"{run['noise'][when]['load_average'][0]:.1f}" for when in ("before", "after")]
    versions = ", ".join(
        f"{name} {version}"
        for name, version in {n: v for found in run["versions"].values() for n, v in found.items()}.items()
    )
    return (
        f"Made on {run['made'][:10]} with Python {run['python']} and {run['server']} on {run['cores']} cores, "
        f"{len(run['rounds'])} rounds{', quick' if run['quick'] else ''}, in {run['took_s'] / 60:.1f} minutes. A fixed "
        f"loop took {before:.1f} ms before and {after:.1f} ms after, the load was {loads[0]} and {loads[1]}. "
        f"{versions}."
    )


def _cell(found: dict[str, Any] | None, digits: int, with_ratio: bool) -> str:
    if found is None:
        return "-"
    middle, least, most = (f"{found[key]:,.{digits}f}" for key in ("median", "min", "max"))
    ratio = found["x_floor"] if with_ratio else None
    return f"{middle} ({least} to {most})" + (f", {_short(ratio['median'])} x" if ratio else "")


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.095 else f"{ratio:.3f}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
