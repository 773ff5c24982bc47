"""What the past teaches: how long things take, how often they are tried again, how often a sender
is heard. Learned hourly, carried to every detector, and never asked of the store in between."""

from detectors.calibration.learned import Calibration, Learned, RetryHabit, Spread
from detectors.calibration.learning import learn
from detectors.calibration.ratchet import raised

__all__ = ["Calibration", "Learned", "RetryHabit", "Spread", "learn", "raised"]
