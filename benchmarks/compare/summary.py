"""From the rounds to medians, extremes, and ratios to the floor of the same round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

FLOOR = "floor"
FIGURES: dict[str, tuple[str, ...]] = {
    "drain_1": ("drain_1", "per_s"),
    "drain_2": ("drain_2", "per_s"),
    "enqueue_one": ("each", "per_s"),
    "enqueue_many": ("many", "per_s"),
    "start_p50_ms": ("start_ms", "p50"),
    "start_p99_ms": ("start_ms", "p99"),
    "round_trip_p50_ms": ("round_trip_ms", "p50"),
    "round_trip_p99_ms": ("round_trip_ms", "p99"),
    "bytes_per_queued": ("bytes_per_queued",),
    "producer_us": ("each", "cpu_us"),
    "worker_us": ("drain_2", "worker_us"),
    "server_us": ("drain_2", "server_us"),
}
"""Every figure, and where it stands in what a round has found."""


def summarize(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return for each system each figure and its ratio to the floor's."""
    names = dict.fromkeys(name for found in rounds for name in found["systems"])
    return {name: {figure: _figure(rounds, name, figure) for figure in FIGURES} for name in names}


def _figure(rounds: list[dict[str, Any]], name: str, figure: str) -> dict[str, Any] | None:
    values, ratios = [], []
    for found in rounds:
        value, floor = (_value(found["systems"].get(system), figure) for system in (name, FLOOR))
        if value is None:
            continue
        values.append(value)
        if floor:
            ratios.append(value / floor)
    if not values:
        return None
    return spread(values) | {"x_floor": spread(ratios) if ratios else None}


def _value(found: Any, figure: str) -> float | None:
    for step in FIGURES[figure]:
        if found is None:
            return None
        found = found.get(step)
    return None if found is None else float(found)


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Return the median and the extremes."""
    every = list(values)
    return {"median": statistics.median(every), "min": min(every), "max": max(every)}
