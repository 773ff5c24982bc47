"""Durations that are alike inside an execution: loops and maps over inputs of very different sizes.

Each execution then counts as hardly more than one observation, and a threshold learned from a few of
them knows little of the next, whatever the number of durations. How much longer it must be, the
executions themselves tell: each is held against what all the others taught.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import special

from detectors.statistics.calibrator import DURATIONS_MIN, tau
from detectors.statistics.samples import SHORTEST_S, Floats, sorted_durations

GROUPS_MIN: Final = 4
GROUPS_MAX: Final = 300
"""More executions than that are a sample of their own: the threshold learned from all their durations
keeps the budget without help."""
GROUPS_TRIED: Final = 20
"""So many are held against the others; each costs a threshold."""
ALIKE_P: Final = 1e-3
"""So seldom would durations that have nothing to do with their executions look so alike."""
INFORMATION_MAX: Final = 100.0
"""With durations worth so many independent ones (n ÷ design effect) no help is needed,"""
INFORMATION_MAX_ALIKE: Final = 300.0
"""or with so many where they are more alike (their correlation) than VERY_ALIKE."""
VERY_ALIKE: Final = 0.5


def correlation_factor(groups: Sequence[Floats], alpha: float) -> float:
    """By what a threshold from these durations, one array (seconds) for each execution, is to be
    multiplied; at least 1.

    1. Of too few executions nothing can be said; enough of them need no help.
    2. Durations that are not alike inside executions need none either (analysis of variance of the
       logarithms), nor those that are so only a little.
    3. Leave each execution out in turn: the logarithm of its own quantile against the others'.
    4. The mean of these and two standard deviations of a new one.
    """
    several = [np.maximum(group, SHORTEST_S) for group in groups if len(group) >= 2]
    if not GROUPS_MIN <= len(several) <= GROUPS_MAX or not _alike(several):
        return 1.0
    chosen = sorted(several, key=len, reverse=True)[:GROUPS_TRIED]
    excesses = [
        _excess(chosen[at], np.concatenate(chosen[:at] + chosen[at + 1 :]), alpha)
        for at in range(len(chosen))
    ]
    spread = float(np.std(excesses, ddof=1)) * math.sqrt(1 + 1 / len(excesses))
    return math.exp(max(0.0, float(np.mean(excesses)) + 2 * spread))


def _alike(groups: Sequence[Floats]) -> bool:
    """Whether the logarithms differ more between groups than inside them, so much that little is
    known of all groups. One-way analysis of variance; Kish's design effect for what is left."""
    logs = [np.log(group) for group in groups]
    sizes = np.array([len(one) for one in logs])
    n, k = int(sizes.sum()), len(logs)
    mean = np.concatenate(logs).mean()
    between = sum(len(one) * (one.mean() - mean) ** 2 for one in logs) / (k - 1)
    inside = sum(float(((one - one.mean()) ** 2).sum()) for one in logs) / max(n - k, 1)
    if inside <= 0 or n <= k:
        return False
    if special.fdtrc(k - 1, n - k, between / inside) >= ALIKE_P:
        return False
    size = float((sizes**2).sum()) / n
    correlation = (between - inside) / (between + (size - 1) * inside)
    enough = INFORMATION_MAX_ALIKE if correlation > VERY_ALIKE else INFORMATION_MAX
    return bool(n / (1 + (size - 1) * correlation) < enough)


def _excess(group: Floats, others: Floats, alpha: float) -> float:
    """ln of the group's quantile over the one that the others promise, as far out as the group
    reaches."""
    survival = max(alpha, 0.5 / (len(group) + 1))
    promised_s = (
        tau(others, survival)
        if len(others) >= DURATIONS_MIN
        else float(sorted_durations(others)[-1])
    )
    return float(np.log(np.quantile(group, 1 - survival) / promised_s))
