"""A queue, downstream, worker or step in which nothing ends any more, or much less than should.

By the ages of what is open it is known how many ends are to be expected; that none comes becomes improbable within
seconds where much runs, and within minutes where little does. What is open on something dead is told here and nowhere
else.
"""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from detectors import budget
from detectors.detector import Context, Detector, Row, folded_from, place_of
from detectors.explaining import DOMINANT_SHARE, clock, counted, named, seldom
from detectors.quiet import asked, look_parameters, quiet
from detectors.silences import Silence, Silences
from detectors.statistics.silence import EDGES_S
from detectors.statistics.threshold import WEEK_S
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

OVERLAP: Final = timedelta(minutes=5)
"""An end may be committed a little after its time: read again what ended shortly before the calibration."""
FEW: Final = 200
"""Where more attempts are open, executions are named only if less ended lately than usual: the ids of a million
attempts that are well cost a second."""
EARLIER: Final = timedelta(seconds=5)
"""The last end is told only if the silence is counted from so much later: a second apart, they would contradict."""
BEAT_S: Final = 60
"""An attempt that has told a heartbeat since then is in good hands."""
_WHERE: Final = {
    "queue": "queue {value}",
    "downstream": "downstream {value}",
    "worker": "worker {value}",
    "step": "{value} of {workflow}",
}


def narrow(tick: Tick, rows: Sequence[Row], context: Context) -> dict[str, Any] | None:
    """What is asked for after the first look; None: no group can be silent."""
    groups = quiet(tick, rows, context)
    if not groups:
        return None
    replayed = timedelta(seconds=float(EDGES_S[0]))
    calibrated_at = min(context.calibration.at, tick.until)
    from_ = min(calibrated_at - OVERLAP, tick.until - replayed)
    edges_s = EDGES_S.tolist()
    return {
        "until": tick.until,
        "from": from_,
        "folded_from": folded_from(tick, tick.until - from_),
        "edges_s": edges_s,
        **{f"edge_{age_s}s": edges_s.index(age_s) for age_s in (5, 16, 95, 310)},
        "few": FEW,
        "beat_s": BEAT_S,
        **asked(groups, rows, context.calibration.liveness),
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each silent group, the stopped ones first."""
    judged = [
        row for row in rows if context.enabled(place_of(row)) and not context.waits(place_of(row))
    ]
    silences = Silences(tick, judged, context)
    observations = [_observe(tick, one, "", context) for one in silences.silences(hidden=False)]
    if context.silent_senders:
        told = {one.fingerprint for one in observations}
        hidden = [
            _observe(tick, one, str(one.members[0][0]["sender"]), context)
            for one in silences.silences(hidden=True)
        ]
        observations += [one for one in hidden if one.fingerprint not in told]
    return observations


def _observe(tick: Tick, silence: Silence, hidden_by: str, context: Context) -> Observation:
    dimension, namespace, engine, _, value = silence.group
    rows = [row for row, _ in silence.members]
    workflow = _most(rows, "workflow")
    step = _most(rows, "step") if workflow else ""
    place = (namespace, engine, workflow, step)
    stopped = silence.lost is None
    default = Severity.CRITICAL if stopped else Severity.WARNING
    where = _where(silence)
    since = _since(tick.until, silence)
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, default),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        step_may_change=True,
        key=f"{dimension}:{value}",
        executions=silence.executions,
        count=len(silence.executions),
        since=since,
        title=f"Nothing ends any more: {where}" if stopped else f"Too little ends: {where}",
        explanation=_explain(silence, where, since, budget.share(context.config, DETECTOR.id)),
        evidence=_evidence(silence),
        next_steps=_next_steps(silence, where, silence.closed_at if stopped else since),
        hidden_by=hidden_by,
    )


def _where(silence: Silence) -> str:
    dimension, _, _, workflow, value = silence.group
    return _WHERE[dimension].format(value=value, workflow=workflow)


def _since(until: datetime, silence: Silence) -> datetime:
    return until - timedelta(seconds=silence.silent_s)


def _most(rows: Sequence[Row], name: str) -> str:
    """What more than 90 % of the members share; empty: nothing."""
    value, times = Counter(str(row[name]) for row in rows).most_common(1)[0]
    return value if times > DOMINANT_SHARE * len(rows) else ""


def _evidence(silence: Silence) -> dict[str, Any]:
    dimension, _, _, _, value = silence.group
    return {
        "group": dimension,
        dimension: value,
        "state": "stopped" if silence.lost is None else "degraded",
        "score": round(silence.score, 2),
        "limit": round(silence.limit, 2),
        "silent_s": round(silence.silent_s, 3),
        **({} if silence.lost is None else {"ends": round(silence.lost.ended)}),
        **({"probability": float(f"{_chance(silence):.2g}")} if silence.lost is None else {}),
        "open_attempts": silence.open,
        "last_end": clock(silence.closed_at),
        "usual_per_s": round(silence.pace.per_week / WEEK_S, 4),
    }


def _chance(silence: Silence) -> float:
    """How probable such a silence is in a healthy group."""
    return float(math.exp(-min(silence.score, 700.0)))


def _explain(silence: Silence, where: str, since: datetime, wrong_per_week: float) -> str:
    lasting = format_duration(silence.silent_s)
    attempts = counted(silence.open, "attempt")
    are = "is" if silence.open == 1 else "are"
    usual = f"In the last 7 days {_pace(silence.pace.per_week)} ended there on average."
    waiting = f"Executions that wait: {named(silence.executions)}."
    if silence.lost is not None:
        ended = counted(round(silence.lost.ended), "attempt")
        overdue = counted(len(silence.executions), "execution")
        return (
            f"On {where} {ended} ended in the {lasting} since {clock(since)}, less than two thirds of what should "
            f"have; {overdue} should have gone on long ago. {attempts} {are} open. The limit is set so that of all "
            f"that is watched less than {wrong_per_week:.2g} a week are called so wrongly. {usual} {waiting}"
        )
    is_earlier = since - silence.closed_at >= EARLIER
    last = f"The last end was at {clock(silence.closed_at)}. " if is_earlier else ""
    return (
        f"On {where} nothing has ended for {lasting}, since {clock(since)}, although {attempts} {are} open. Where "
        f"everything goes well, such a silence comes less than once in {seldom(1 / _chance(silence))} times. "
        f"{last}{usual} {waiting}"
    )


def _pace(per_week: float) -> str:
    """`2.5 a minute`, in the largest unit that gives at least one."""
    for unit, times in (("second", WEEK_S), ("minute", WEEK_S / 60), ("hour", WEEK_S / 3600)):
        if per_week >= times:
            return f"{per_week / times:.3g} a {unit}"
    return f"{per_week / 7:.3g} a day"


def _next_steps(silence: Silence, where: str, since: datetime) -> tuple[str, ...]:
    dimension, _, _, _, value = silence.group
    after = clock(since)
    first = {
        "queue": f"Look whether workers are running that listen to {where}, and at their logs since {after}.",
        "downstream": f"Look whether {value} answers, and whether calls to it have a timeout.",
        "worker": f"Look whether {where} is alive, and at its log since {after}; restart it if it hangs.",
        "step": f"Look at what {where} needs: its workers, what it calls, a lock that it waits for.",
    }[dimension]
    return (
        first,
        "What nobody has started yet goes on by itself when this is repaired; what ran on a worker that is gone needs "
        "a timeout, or to be started again.",
    )


DETECTOR: Final = Detector(
    "dead_queue",
    1.0,
    judge,
    look_parameters,
    absorbed_by=("telemetry_silence",),
    narrow=narrow,
    idles=True,
)
