"""What became of what a replay called: true, a false alarm, or not to be told; how late; and what nobody called.

The judge is what the store knows by now, also of the time after the replay. An attempt that was called stalled and then
completed was a false alarm; one that failed, timed out, was cancelled or is still open was not. A point finding that
later data took back was one too. Of the others nobody knows, unless a person says so.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.calibration import Calibration
from detectors.calibration.rows import RECENT
from stallwatch.app.replay.playing import Episode, Played, parse_expectations, play, tick_length
from stallwatch.config import DetectorsConfig, Settings
from stallwatch.errors import InputError
from stallwatch.model.durations import format_duration, parse_time, rfc3339
from stallwatch.model.findings import POINT_DETECTORS
from stallwatch.store import Store

OF_ATTEMPTS: Final = frozenset({"stalled_step", "never_started"})
OF_EXECUTIONS: Final = frozenset({"stalled_execution", "overdue_execution"})
MISSED_MAX: Final = 100_000
WEEK: Final = timedelta(days=7)

Row = Mapping[str, Any]
Place = tuple[str, str, str, str]


def _sql(name: str) -> str:
    return (files("stallwatch.app.replay") / f"{name}.sql").read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class Call:
    """One execution that a finding named. `verdict`: `true`, `false_alarm` or `unknown`. `age_s`: how old the attempt
    was when it was called; `best_s`: how old it had to be for the same probability of a false alarm, known only
    afterwards. None: not to be told."""

    execution: str
    called_at: datetime
    verdict: str
    age_s: float | None = None
    best_s: float | None = None


def replayed(
    store: Store,
    settings: Settings,
    now: datetime,
    asked: Mapping[str, Any],
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """What the command `replay` asks: `since`, `until` (RFC 3339), `every_s`, `only`, `expect` (None, or
    the `text` of a `file`).

    Returns `scorecard` (see `score`) and `problems`, the expectations that did not hold. `progress` is told the share
    that is done. Raises InputError where the time is empty, has not come, or is beyond what is kept.
    """
    since, until = (parse_time(str(asked[name]), now) for name in ("since", "until"))
    kept_s = settings.store.retention.events
    if not since < until <= now:
        raise InputError(f"from {rfc3339(since)} to {rfc3339(until)}: there is nothing to replay")
    if now - since > timedelta(seconds=kept_s):
        raise InputError(
            f"{rfc3339(since)} is beyond what is kept: events are deleted after {format_duration(kept_s)}"
        )
    every = tick_length(since, until, asked["every_s"])
    expectations = []
    if asked["expect"] is not None:
        # Its contents come with the question: a service reads no files for those who ask it.
        if not isinstance(asked["expect"], Mapping):
            raise InputError("expect: must be an object with file and text")
        text, file = (str(asked["expect"][name]) for name in ("text", "file"))
        expectations = parse_expectations(text, file, since)
    span = until - since
    played = play(
        store, settings.detectors, since, until, every, asked["only"], expectations,
        lambda at: progress((at - since) / span),
    )  # fmt: skip
    return {
        "scorecard": score(store, settings.detectors, played),
        "problems": list(played.problems),
    }


def score(store: Store, config: DetectorsConfig, played: Played) -> list[dict[str, Any]]:
    """One row for each detector that was asked, in the order of their names (see docs/detectors.md)."""
    judged = _judged(store, config, played)
    by_detector: defaultdict[str, list[tuple[Episode, list[Call]]]] = defaultdict(list)
    for episode, calls in judged:
        by_detector[episode.finding.detector].append((episode, calls))
    weeks = (played.until - played.since) / WEEK
    rows = [_row(detector, by_detector[detector], weeks) for detector in sorted(played.asked)]
    for row in rows:
        if row["detector"] == "stalled_step":
            row |= _coverage(store, played)
    return rows


def _judged(
    store: Store, config: DetectorsConfig, played: Played
) -> list[tuple[Episode, list[Call]]]:
    """The episodes with what became of each execution that they named."""
    of_attempts = _outcomes(store, _sql("attempts"), played.episodes, OF_ATTEMPTS)
    of_executions = _outcomes(store, _sql("executions"), played.episodes, OF_EXECUTIONS)
    healthy = _healthy(store, played)
    judged = []
    for episode in played.episodes:
        detector = episode.finding.detector
        if detector in OF_ATTEMPTS:
            calls = _calls(episode, of_attempts, healthy)
        elif detector in OF_EXECUTIONS:
            calls = _calls(episode, of_executions, {})
        else:
            verdict = _taken_back(episode, config, played)
            calls = [Call(one, at, verdict) for one, at in episode.flagged.items()]
        judged.append((episode, calls))
    return judged


def _outcomes(
    store: Store, sql: str, episodes: Iterable[Episode], detectors: frozenset[str]
) -> dict[tuple[Place, str], list[Row]]:
    """Rows of what was called, by place and execution."""
    concerned = [one for one in episodes if one.finding.detector in detectors]
    if not concerned:
        return {}
    executions = sorted({name for one in concerned for name in one.flagged})
    steps = sorted({one.finding.step for one in concerned})
    found: defaultdict[tuple[Place, str], list[Row]] = defaultdict(list)
    parameters = {"executions": executions, "steps": steps}
    for row in store.select(sql, parameters):
        found[_place(row), row["execution_id"]].append(row)
    return found


def _place(row: Row) -> Place:
    return (row["namespace"], row["engine"], row["workflow"], row["step"])


def _place_of(episode: Episode) -> Place:
    finding = episode.finding
    step = finding.step if finding.detector in OF_ATTEMPTS else ""
    return (finding.namespace, finding.engine, finding.workflow, step)


def _healthy(store: Store, played: Played) -> dict[Place, np.ndarray[Any, Any]]:
    """Sorted durations of completed attempts, those of the replayed time included: what nobody knew then."""
    steps = sorted({one.finding.step for one in played.episodes if one.finding.step})
    window = {"steps": steps, "past": played.since - RECENT, "until": played.until}
    return {
        _place(row): np.sort(row["durations_s"]) for row in store.select(_sql("healthy"), window)
    }


def _calls(
    episode: Episode,
    outcomes: Mapping[tuple[Place, str], Sequence[Row]],
    healthy: Mapping[Place, np.ndarray[Any, Any]],
) -> list[Call]:
    place = _place_of(episode)
    calls = []
    for execution, at in episode.flagged.items():
        row = next((r for r in outcomes.get((place, execution), ()) if _open_at(r, at)), None)
        if row is None:
            calls.append(Call(execution, at, "unknown"))
            continue
        verdict = "false_alarm" if row["status"] == "completed" else "true"
        age_s = (at - row["begun_at"]).total_seconds()
        calls.append(Call(execution, at, verdict, age_s, _best_s(episode, row, healthy.get(place))))
    return calls


def _open_at(row: Row, at: datetime) -> bool:
    return bool(row["begun_at"] <= at) and (row["ended_at"] is None or bool(row["ended_at"] > at))


def _best_s(episode: Episode, row: Row, durations_s: np.ndarray[Any, Any] | None) -> float | None:
    """The declared timeout, or the quantile that the allowed probability asks for, whichever is first."""
    limits = [row["timeout_s"]] if row["timeout_s"] else []
    alpha = episode.finding.evidence.get("alpha")
    if durations_s is not None and len(durations_s) and alpha:
        limits.append(float(np.quantile(durations_s, 1 - alpha, method="higher")))
    return min(limits) if limits else None


def _taken_back(episode: Episode, config: DetectorsConfig, played: Played) -> str:
    """A point finding that went before its time was taken back by later data."""
    if episode.finding.detector not in POINT_DETECTORS or episode.ended_at is None:
        return "unknown"
    held = episode.ended_at - episode.fired_at + played.tick
    repaired = held < timedelta(seconds=config.point_finding_ttl)
    return "false_alarm" if repaired else "unknown"


def _row(
    detector: str, judged: Sequence[tuple[Episode, list[Call]]], weeks: float
) -> dict[str, Any]:
    calls = [call for _, found in judged for call in found]
    false_alarms = [episode for episode, found in judged if found and _all_false(found)]
    ages = [call.age_s for call in calls if call.verdict == "true" and call.age_s is not None]
    ratios = [call.age_s / call.best_s for call in calls if call.age_s and call.best_s]
    return {
        "detector": detector,
        "findings": len(judged),
        "executions": len({call.execution for call in calls}),
        "true": sum(call.verdict == "true" for call in calls),
        "false_alarms": len(false_alarms),
        "false_alarms_per_week": round(len(false_alarms) / weeks, 3),
        "unknown": sum(call.verdict == "unknown" for call in calls),
        "age_p50_s": _median(ages),
        "delay_ratio_p50": _median(ratios),
        "found": [_told(episode, found) for episode, found in judged],
    }


def _all_false(calls: Sequence[Call]) -> bool:
    return all(call.verdict == "false_alarm" for call in calls)


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None


def _told(episode: Episode, calls: Sequence[Call]) -> dict[str, Any]:
    finding = episode.finding
    ended_at = episode.ended_at
    return {
        "title": finding.title,
        "workflow": finding.workflow,
        "step": finding.step,
        "fingerprint": finding.fingerprint,
        "fired_at": rfc3339(episode.fired_at),
        "ended_at": None if ended_at is None else rfc3339(ended_at),
        "executions": [
            {
                "execution_id": call.execution,
                "called_at": rfc3339(call.called_at),
                "verdict": call.verdict,
                "age_s": call.age_s,
                "best_s": call.best_s,
            }
            for call in calls
        ],
    }


def _coverage(store: Store, played: Played) -> dict[str, Any]:
    """How many of the attempts had a limit by the end of the replay, and how many that outlived it nobody called."""
    window = {"since": played.since, "until": played.until}
    seen = covered = 0
    for row in store.select(_sql("seen"), window):
        seen += row["n"]
        limited = _limit_s(played.calibration, row) is not None
        covered += row["n"] if limited else row["declared"]
    called = {
        (_place_of(one), execution)
        for one in played.episodes
        if one.finding.detector in OF_ATTEMPTS
        for execution in one.flagged
    }
    hung = store.select(_sql("hung"), {**window, "limit": MISSED_MAX})
    missed = [
        row
        for row in hung
        if _outlived(played, row) and (_place(row), row["execution_id"]) not in called
    ]
    return {
        "attempts": seen,
        "coverage": round(covered / seen, 4) if seen else None,
        "missed": len(missed),
    }


def _limit_s(calibration: Calibration, row: Row) -> float | None:
    learned = calibration.step(_place(row), row["workflow_version"])
    return None if learned is None else learned.limit_s


def _outlived(played: Played, row: Row) -> bool:
    limit_s = _limit_s(played.calibration, row)
    return limit_s is not None and bool(row["age_s"] > limit_s + played.tick.total_seconds())
