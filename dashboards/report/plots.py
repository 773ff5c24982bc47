"""A step's durations as a picture: how many attempts last how long, and where the timeouts cut."""

import io
import re
import threading
from collections.abc import Sequence
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from stallwatch.model.durations import format_duration
from stallwatch.model.recommendations import StepRecommendation

# The page's own colours, light or dark, stand in for these: no other drawing colour is used.
_PAGE_COLOURS: Final = {
    "#010203": "currentColor",
    "#0000f1": "var(--curve)",
    "#f10000": "var(--current)",
    "#00f100": "var(--recommended)",
    "#f1f100": "var(--interval)",
}
_INK, _CURVE, _CURRENT, _RECOMMENDED, _INTERVAL = _PAGE_COLOURS
_COARSE_S: Final = (1e-3, 0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, 86_400, 864_000, 8_640_000)
_FINE_S: Final = (
    *(digit * 10.0**power for power in (-3, -2, -1, 0) for digit in (1, 2, 5)),
    *(digit * unit for unit in (1, 60, 3600) for digit in (10, 20, 30, 60, 120, 300)),
)
_TICKS_MIN: Final = 3
# rcParams belong to the whole process: two reports at once would mix their settings.
_RC_LOCK: Final = threading.Lock()


def survival_svg(step: StepRecommendation, salt: str) -> str:
    """An `<svg>` element to put into a page, both axes logarithmic; needs `step.survival`.

    The same step and `salt` give the same text; another `salt` keeps the ids of two pictures in
    one page apart. Nothing that the step's sender wrote is in it.
    """
    with _RC_LOCK, matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure = Figure(figsize=(5.6, 2.7), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _draw(axes, step)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _for_a_page(buffer.getvalue())


def _draw(axes: Axes, step: StepRecommendation) -> None:
    durations_s, shares = np.array(step.survival, dtype=np.float64).T
    marks = [step.p99_s, step.p99_high_s, step.current_timeout_s, step.recommended_timeout_s]
    seen = [*durations_s, *(mark for mark in marks if mark)]
    low_s, high_s = min(seen) / 1.3, max(seen) * 1.3
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low_s, high_s)
    axes.set_ylim(min(shares) / 2, 1.5)
    # Each limit alone holds with 95 %, both together with 90 %.
    if step.p99_low_s and step.p99_high_s:
        axes.axvspan(
            step.p99_low_s,
            step.p99_high_s,
            color=_INTERVAL,
            alpha=0.35,
            lw=0,
            label="p99, 90 % sure",
        )
    elif step.p99_s:
        axes.axvline(step.p99_s, color=_INTERVAL, lw=2, label="p99")
    axes.plot(durations_s, shares, color=_CURVE, lw=1.6, label="still running")
    if step.current_timeout_s:
        axes.axvline(step.current_timeout_s, color=_CURRENT, ls="--", lw=1.4, label="timeout now")
    if step.recommended_timeout_s:
        axes.axvline(
            step.recommended_timeout_s, color=_RECOMMENDED, lw=1.6, label="timeout recommended"
        )
    axes.xaxis.set_major_locator(FixedLocator(_ticks_s(low_s, high_s)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_duration(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g}%"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("attempts still running", color=_INK, fontsize=8)
    axes.tick_params(colors=_INK, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_color(_INK)
        spine.set_visible(side in ("left", "bottom"))
    if step.cheapest_timeout_s:
        _draw_costs(axes, step)
    # The curve falls from the upper left to the lower right: the lower left is free.
    axes.legend(loc="lower left", fontsize=7, frameon=False, labelcolor=_INK)


def _draw_costs(axes: Axes, step: StepRecommendation) -> None:
    """What each timeout would cost an attempt, against a scale of its own on the right."""
    timeouts_s, costs_s = np.array(step.trade_off, dtype=np.float64).T
    costs = axes.twinx()
    costs.plot(timeouts_s, costs_s, color=_INK, ls=":", lw=1.2)
    costs.set_ylim(0, 3 * float(costs_s.min()) + float(costs_s[0]) / 10)
    costs.set_ylabel("dotted: cost of the timeout", color=_INK, fontsize=8)
    costs.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_duration(value)))
    costs.tick_params(colors=_INK, labelsize=8)
    for side, spine in costs.spines.items():
        spine.set_color(_INK)
        spine.set_visible(side == "right")


def _ticks_s(low_s: float, high_s: float) -> Sequence[float]:
    """Round durations within the limits, in seconds; where there are too few, evenly spaced ones."""
    for candidates in (_COARSE_S, sorted(set(_FINE_S))):
        ticks = [tick for tick in candidates if low_s <= tick <= high_s]
        if len(ticks) >= _TICKS_MIN:
            return ticks
    return [float(tick) for tick in np.geomspace(low_s * 1.1, high_s / 1.1, 4)]


def _for_a_page(document: str) -> str:
    """The drawing without what only a file of its own needs, in the page's colours."""
    svg = document[document.index("<svg") :].strip()
    svg = re.sub(r"<style\b.*?</style>", "", svg, flags=re.DOTALL)
    # These ids are the same in every picture, and nothing refers to them.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for drawn, meant in _PAGE_COLOURS.items():
        svg = svg.replace(drawn, meant)
    label = 'role="img" aria-label="Share of attempts still running, against time"'
    return svg.replace("<svg ", f"<svg {label} ", 1)
