"""A sender that usually delivers has stopped: either nothing runs there any more, or nothing of it
can be seen. What only that sender reports is then unknown, not stalled."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration import Learned
from detectors.detector import Context, Detector, Row
from detectors.explaining import clock, compared, learned_evidence, sureness
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

SILENCE_MIN_S: Final = 60.0
OVERLAP: Final = timedelta(minutes=5)
"""A delivery may be committed a little after its receive time: read again what came shortly before
the calibration."""


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    calibrated_at = min(context.calibration.at, tick.until)
    return {"from": calibrated_at - OVERLAP, "until": tick.until}


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each silent sender; its name is the key."""
    heard = dict(context.calibration.last_beats)
    for row in rows:
        heard[row["sender"]] = max(row["last_at"], heard.get(row["sender"], row["last_at"]))
    observations = []
    for sender, learned in sorted(context.calibration.senders.items()):
        limit_s = max(learned.limit_s or 0.0, SILENCE_MIN_S)
        silent_s = (tick.until - heard[sender]) / timedelta(seconds=1)
        if learned.limit_s is not None and silent_s > limit_s:
            observations.append(
                _observe(sender, heard[sender], silent_s, limit_s, learned, context)
            )
    return observations


def _observe(
    sender: str,
    last_at: datetime,
    silent_s: float,
    limit_s: float,
    learned: Learned,
    context: Context,
) -> Observation:
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(("", "", "", ""), Severity.CRITICAL),
        key=sender,
        since=last_at,
        title=f"Nothing more is heard from {sender}",
        explanation=(
            f"{sender} has sent nothing since {clock(last_at)}, for {format_duration(silent_s)}. "
            f"{compared(learned, 'pause')} {sureness(learned, 'pause', SILENCE_MIN_S)} "
            "As long as nothing comes, findings that rest on what it reports are unknown."
        ),
        evidence={
            "sender": sender,
            "threshold_s": round(limit_s, 3),
            "age_s": round(silent_s, 3),
            **learned_evidence(learned),
        },
        next_steps=(
            f"Look whether {sender} is running and can reach the collector.",
            "Look at the collector's own log and at ingest_health for refused data.",
        ),
    )


DETECTOR: Final = Detector("telemetry_silence", 5.0, judge, parameters)
