"""A sender that usually delivers has stopped: either nothing runs there any more, or nothing of it
can be seen. What only that sender reports is then unknown, not stalled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration import Learned
from detectors.detector import Context, Detector, Row
from detectors.explaining import clock, compared, learned_evidence, sureness
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

SILENCE_MIN_S: Final = 60.0
COMING_BACK_S: Final = 60.0
"""For so long after nobody listened, senders may wait before they try again; and a sender that delivers what is old may
pause for so long."""
CATCHING_UP_S: Final = 900.0
"""Who delivers only what is old for longer has become late for good."""
FRESH_S: Final = 10.0
"""What is delivered within so many seconds, or 1.5 times as late as it usually is, is fresh."""
FRESH_FACTOR: Final = 1.5
OVERLAP: Final = timedelta(minutes=20)
"""So much of what came before the calibration is read again: a delivery may be committed a little after its receive
time, and who catches up may have begun to before."""


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    late = {
        sender: FRESH_FACTOR * lag_s
        for sender, lag_s in context.calibration.usual_lags_s.items()
        if FRESH_FACTOR * lag_s > FRESH_S
    }
    return {
        "from": min(context.calibration.at, tick.until) - OVERLAP,
        "until": tick.until,
        # An array of nothing has no type.
        "late_senders": ["", *late],
        "late_s": [FRESH_S, *late.values()],
        "fresh_s": FRESH_S,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each silent sender, and a suspicion for each that has yet to come back; its name is the
    key."""
    heard = {row["sender"]: row for row in rows}
    last_heard = dict(context.calibration.last_beats)
    for sender, row in heard.items():
        last_heard[sender] = max(row["last_at"], last_heard.get(sender, row["last_at"]))
    observations = []
    for sender, learned in sorted(context.calibration.senders.items()):
        if learned.limit_s is None:
            continue
        limit_s = max(learned.limit_s, SILENCE_MIN_S)
        judged = _Sender(sender, learned, last_heard[sender], limit_s)
        found = judged.silent(tick, context)
        if found is None and sender in heard:
            found = judged.catching_up(tick, heard[sender], context)
        if found is not None:
            observations.append(found)
    return observations


@dataclass(frozen=True)
class _Sender:
    name: str
    learned: Learned
    last_at: datetime
    limit_s: float

    def silent(self, tick: Tick, context: Context) -> Observation | None:
        """Silent for longer than it may be. What nobody listened to was no silence; in the first minute after it the
        sender is only suspected."""
        unheard = [one for one in context.unheard if one[1] > self.last_at]
        since = [self.last_at, *(ended_at for _, ended_at in unheard)]
        until = [*(began_at for began_at, _ in unheard), tick.until]
        first_s, *later_s = (_seconds(*one) for one in zip(since, until, strict=True))
        # Whether once, or all in all: or it would never be told of while collectors come and go.
        listened_s = first_s + sum(max(0.0, one_s - COMING_BACK_S) for one_s in later_s)
        if max(listened_s, *later_s, first_s) > self.limit_s:
            return self._silent(tick, context)
        if not unheard or _seconds(since[-1], tick.until) > COMING_BACK_S:
            return None
        began_at, back_at = unheard[-1]
        return self._suspected(
            context,
            back_at,
            f"{self.name} was not heard again yet",
            f"Nobody listened from {clock(began_at)} to {clock(back_at)}, and {self.name} has not been heard since. "
            "Until it is, or a minute has passed, findings that rest on what it reports are unknown.",
        )

    def catching_up(self, tick: Tick, row: Row, context: Context) -> Observation | None:
        """What it delivers, and has delivered for longer than it may be silent or since somebody listens again, is old:
        so is what it has yet to tell."""
        fresh_at = row["fresh_at"]
        stale_s = _seconds(fresh_at, row["told_at"]) - self.limit_s
        if context.unheard:
            began_at, ended_at = context.unheard[-1]
            if fresh_at < ended_at <= row["told_at"]:
                fresh_at, stale_s = began_at, _seconds(ended_at, row["told_at"])
        pauses = _seconds(row["told_at"], tick.until) > COMING_BACK_S
        if pauses or not 0 <= stale_s <= CATCHING_UP_S:
            return None
        return self._suspected(
            context,
            fresh_at,
            f"{self.name} is catching up",
            f"The newest that {self.name} has delivered was {format_duration(row['lag_s'])} old, and it has delivered "
            f"nothing fresh since {clock(fresh_at)}. Until it does, findings that rest on what it reports are unknown: "
            "what is open may have ended long ago.",
        )

    def _suspected(
        self, context: Context, since: datetime, title: str, explanation: str
    ) -> Observation:
        return Observation(
            detector=DETECTOR.id,
            severity=context.severity(("", "", "", ""), Severity.CRITICAL),
            key=self.name,
            since=since,
            title=title,
            explanation=explanation,
            evidence={"sender": self.name},
            next_steps=(f"Look whether {self.name} can reach the collector.",),
            suspected=True,
        )

    def _silent(self, tick: Tick, context: Context) -> Observation:
        silent_s = _seconds(self.last_at, tick.until)
        return Observation(
            detector=DETECTOR.id,
            severity=context.severity(("", "", "", ""), Severity.CRITICAL),
            key=self.name,
            since=self.last_at,
            title=f"Nothing more is heard from {self.name}",
            explanation=(
                f"{self.name} has sent nothing since {clock(self.last_at)}, for {format_duration(silent_s)}. "
                f"{compared(self.learned, 'pause')} {sureness(self.learned, 'pause', SILENCE_MIN_S)} "
                "As long as nothing comes, findings that rest on what it reports are unknown."
            ),
            evidence={
                "sender": self.name,
                "threshold_s": round(self.limit_s, 3),
                "age_s": round(silent_s, 3),
                **learned_evidence(self.learned),
            },
            next_steps=(
                f"Look whether {self.name} is running and can reach the collector.",
                "Look at the collector's own log and at ingest_health for refused data.",
            ),
        )


def _seconds(begin: datetime, end: datetime) -> float:
    return (end - begin) / timedelta(seconds=1)


DETECTOR: Final = Detector("telemetry_silence", 5.0, judge, parameters)
