"""All detectors, in the order in which they are judged: a deeper cause before what it explains."""

from typing import Final

from detectors import (
    duplicate_step,
    event_gap,
    failed_execution,
    overdue_execution,
    retries_exhausted,
    retry_storm,
    stalled_execution,
    stalled_step,
    telemetry_silence,
)
from detectors.detector import Detector

DETECTORS: Final[tuple[Detector, ...]] = (
    telemetry_silence.DETECTOR,
    stalled_step.DETECTOR,
    stalled_execution.DETECTOR,
    overdue_execution.DETECTOR,
    retries_exhausted.DETECTOR,
    failed_execution.DETECTOR,
    retry_storm.DETECTOR,
    event_gap.DETECTOR,
    duplicate_step.DETECTOR,
)
