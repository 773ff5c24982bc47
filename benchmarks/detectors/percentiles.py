"""Percentiles from the statistics' log-histograms: how wrong they are, and what merging a week of minutes costs.

Goal: at most 1.1 % off through p99.99; a week merges in at most 35 ms.
"""

import resource
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.detectors import table
from benchmarks.detectors._laws import LOOKED_AT, REFERENCE
from detectors.statistics.samples import SHORTEST_S, empirical_quantile
from detectors.statistics.survival import bin_of, hist_quantile
from stallwatch.clock import SystemClock
from stallwatch.store import open_store

NAME: Final = "Percentiles"

QS: Final = (0.5, 0.9, 0.99, 0.999, 0.9999)
MINUTES: Final = 10_080
DURATIONS: Final = 5_000_000
ROUNDS: Final = 15

_FILL: Final = """
INSERT INTO step_histogram
SELECT
    60, toDateTime('2026-01-05 00:00:00', 'UTC') + 60 * minute, 'default', 'custom', 'order', '', 'charge', '',
    sum(times), 0, 0, 0, 0, sumMap(map(bin, times)), map(), map(), 1, 0
FROM
(
    SELECT
        number % {minutes:UInt32} AS minute,
        toInt16(floor(32 * log2(greatest(exp(randNormal(0, 1, number)), 1e-3)))) AS bin,
        toUInt64(count()) AS times
    FROM numbers({durations:UInt64})
    GROUP BY minute, bin
)
GROUP BY minute
"""
_MERGE: Final = """
SELECT
    arrayMap(
        at -> exp2((at + 0.5) / 32),
        quantilesExactWeighted(0.5, 0.95, 0.99, 0.999, 0.9999)(kv.1, kv.2)) AS percentiles_s
FROM
(
    SELECT sumMap(completed_bins) AS bins
    FROM step_histograms
    WHERE window_s = 60 AND namespace = 'default' AND engine = 'custom' AND workflow = 'order' AND step = 'charge'
)
ARRAY JOIN CAST(bins, 'Array(Tuple(Int16, UInt64))') AS kv
"""


def measure(quick: bool) -> str:
    """Two tables: errors by law, and the cost of a merge."""
    return f"{_errors(quick)}\n\n{_merging(quick)}"


def _errors(quick: bool) -> str:
    n = 20_000 if quick else 2_000_000
    rows = []
    for name, law in {**LOOKED_AT, **REFERENCE}.items():
        random = np.random.default_rng(2)
        durations = np.sort(np.maximum(law.rvs(size=n, random_state=random), SHORTEST_S))
        bins, counts = np.unique(bin_of(durations), return_counts=True)
        errors = [hist_quantile(bins, counts, q) / empirical_quantile(durations, q) - 1 for q in QS]
        rows.append([name, *(f"{100 * error:+.2f} %" for error in errors)])
    headings = ("durations", *(f"p{100 * q:g}" for q in QS))
    return f"Off from the exact order statistic of {n:,} durations:\n\n" + table(headings, rows)


def _merging(quick: bool) -> str:
    minutes, durations = (100, 10_000) if quick else (MINUTES, DURATIONS)
    clock, took_ms, cpu_ms = SystemClock(), [], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = open_store(f"chdb://{Path(folder) / 'store'}")
        store.migrate(datetime(2026, 1, 5, tzinfo=UTC))
        store.engine.command(_FILL, {"minutes": minutes, "durations": durations})
        for _ in range(2 if quick else ROUNDS):
            began_s, cpu_began_s = clock.monotonic_s(), _cpu_s()
            store.select(_MERGE)
            took_ms.append(1000 * (clock.monotonic_s() - began_s))
            cpu_ms.append(1000 * (_cpu_s() - cpu_began_s))
        store.close()
    words = f"{minutes:,} rows of minutes with {durations:,} durations"
    figures = (np.min(took_ms), np.median(took_ms), np.median(cpu_ms))
    return "Five percentiles of a step over all its rows, by the store's SQL:\n\n" + table(
        ("merged", "least, ms", "median, ms", "CPU, median, ms"),
        [(words, *(f"{figure:.0f}" for figure in figures))],
    )


def _cpu_s() -> float:
    """What this process has used, the store's threads included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
