"""What the past teaches: how long things take, how often they are tried again, how often a sender
is heard; and what definitions declare. Learned hourly, carried to every detector, and never asked of
the store in between."""

from detectors.calibration.declared import Declared, Said
from detectors.calibration.learned import Calibration, Learned, RetryHabit, Spread
from detectors.calibration.learning import learn, read_declared
from detectors.calibration.ratchet import raised

__all__ = [
    "Calibration",
    "Declared",
    "Learned",
    "RetryHabit",
    "Said",
    "Spread",
    "learn",
    "raised",
    "read_declared",
]
