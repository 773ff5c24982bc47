"""What a false alarm teaches at once, without waiting for the next calibration: a step that was
called stalled and was healthy after d seconds may take 1.5·d from now on."""

import dataclasses
from collections.abc import Mapping

from detectors.calibration.learned import Calibration, Learned, StepKey
from detectors.statistics.threshold import RATCHET_FACTOR


def raised(calibration: Calibration, longest_s: Mapping[StepKey, float]) -> Calibration:
    """The calibration with the thresholds of these steps raised over what was healthy, in seconds."""
    if not longest_s:
        return calibration
    learned = dict(calibration.steps)
    for key, healthy_s in longest_s.items():
        if key in learned:
            learned[key] = {
                version: _raised(one, healthy_s) for version, one in learned[key].items()
            }
    return dataclasses.replace(calibration, steps=learned)


def _raised(learned: Learned, longest_s: float) -> Learned:
    limit_s = learned.limit_s
    if limit_s is None or longest_s <= limit_s:
        return learned
    threshold = dataclasses.replace(learned.threshold, seconds=RATCHET_FACTOR * longest_s)
    return dataclasses.replace(learned, threshold=threshold)
