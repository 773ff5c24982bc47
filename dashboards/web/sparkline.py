"""A small curve as the points of an SVG polyline. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

WIDTH: Final = 120
HEIGHT: Final = 24
_MARGIN: Final = 2
_DECADE_MIN: Final = 0.3
"""The curve's height spans at least a factor of two, so that noise does not look like news."""


def sparkline(series: Sequence[tuple[datetime, float]], since: datetime, until: datetime) -> str:
    """`x,y` points on a logarithmic scale of the values (> 0), oldest first; empty below two points."""
    if len(series) < 2:
        return ""
    logs = [math.log10(value) for _, value in series]
    low, high = min(logs), max(logs)
    middle, span = (low + high) / 2, max(high - low, _DECADE_MIN)
    span_s = (until - since).total_seconds()
    points = []
    for (when, _), value in zip(series, logs, strict=True):
        share = min(1.0, max(0.0, (when - since).total_seconds() / span_s))
        x = _MARGIN + share * (WIDTH - 2 * _MARGIN)
        y = HEIGHT / 2 - (value - middle) / span * (HEIGHT - 2 * _MARGIN)
        points.append(f"{x:.1f},{y:.1f}")
    return " ".join(points)
