"""What a false alarm teaches at once, without waiting for the next calibration: a step that was
called stalled and then completes after d seconds may take 1.5·d from now on."""

import dataclasses
from collections.abc import Collection
from datetime import datetime

from detectors.calibration.learned import Calibration, Learned, StepKey
from detectors.calibration.learning import statement
from detectors.statistics.threshold import RATCHET_FACTOR
from stallwatch.store import Store


def raised(
    store: Store, calibration: Calibration, steps: Collection[StepKey], until: datetime
) -> Calibration:
    """The calibration with the thresholds of `steps` raised over what completed since it was
    made."""
    rows = store.select(
        statement("finished_late"),
        {"from": calibration.at, "until": until, "steps": sorted({key[3] for key in steps})},
    )
    learned = dict(calibration.steps)
    for row in rows:
        key = (row["namespace"], row["engine"], row["workflow"], row["step"])
        if key in steps and key in learned:
            learned[key] = {
                version: _raised(one, row["longest_s"]) for version, one in learned[key].items()
            }
    return dataclasses.replace(calibration, steps=learned)


def _raised(learned: Learned, longest_s: float) -> Learned:
    limit_s = learned.limit_s
    if limit_s is None or longest_s <= limit_s:
        return learned
    threshold = dataclasses.replace(learned.threshold, seconds=RATCHET_FACTOR * longest_s)
    return dataclasses.replace(learned, threshold=threshold)
