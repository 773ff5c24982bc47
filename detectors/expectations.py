"""How many false alarms a week are to be expected, where that can be told beforehand.

A probability has a floor, below which nobody would wait for the threshold, and a relief for what is seldom seen:
so the thresholds of a very busy fleet, or of one with very many rare steps, may cost more than their part allows.
That is not hidden.
"""

from typing import Final

import msgspec

from detectors.calibration import Calibration
from stallwatch.store.state import State

EXPECTED: Final = "budget.expected"
"""The watermark under which the last calibration's expectation is kept, for whoever asks between calibrations."""


def remember_expected(state: State, calibration: Calibration) -> None:
    """Keep what this calibration expects."""
    state.set_watermark(EXPECTED, msgspec.json.encode(dict(calibration.expected)).decode())


def expected(state: State) -> dict[str, float]:
    """False alarms a week by detector, as the last calibration expects them; empty before the first."""
    text = state.watermark(EXPECTED)
    return {} if text is None else msgspec.json.decode(text, type=dict[str, float])
