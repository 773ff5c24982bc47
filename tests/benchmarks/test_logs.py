"""How public event logs are fetched, read, and turned into attempts and courses."""

import gzip
import io
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.detectors import _log_courses, _log_stalls, _log_weeks, _public_logs, logs
from benchmarks.detectors._log_attempts import Attempts, gaps_behind, learned, waits, works
from benchmarks.detectors._log_identities import FATES, told_of
from benchmarks.detectors._processes import course
from benchmarks.detectors._public_logs import Case, Event, Log, NotHad, Source

XES = """<?xml version="1.0"?>
<log xmlns="http://www.xes-standard.org/">
  <global scope="event"><date key="time:timestamp" value="1970-01-01T00:00:00Z"/></global>
  <trace>
    <string key="concept:name" value="late"/>
    <event>
      <string key="concept:name" value="check"/><string key="lifecycle:transition" value="COMPLETE"/>
      <date key="time:timestamp" value="2012-01-07T23:30:00.000+01:00"/>
    </event>
    <event>
      <string key="concept:name" value="check"/><string key="lifecycle:transition" value="START"/>
      <date key="time:timestamp" value="2012-01-07T23:15:00.000+01:00"/>
    </event>
  </trace>
  <trace><string key="concept:name" value="empty"/></trace>
  <trace>
    <event>
      <string key="concept:name" value="ask"/><string key="lifecycle:transition" value="Wait"/>
      <date key="time:timestamp" value="2012-01-02T08:00:00Z"/>
    </event>
  </trace>
</log>"""
LOG = Source("a log", "a.xes.gz", spans=True)


def log_of(*cases: Case, spans: bool = False) -> Log:
    return Log(Source("a log", "", spans=spans), cases)


def event(at: float, activity: str, transition: str = "") -> Event:
    return Event(at, 0.0, 0, activity, transition)


def attempts(step: str, begin: list[float], durations_s: list[float]) -> Attempts:
    begun, n = np.array(begin), len(begin)
    zeros = np.zeros(n, np.int64)
    return Attempts(
        step, begun, begun + np.array(durations_s), np.zeros(n), zeros, np.arange(n), np.zeros(n)
    )


# fetching and reading


def test_traces_become_cases_in_the_order_of_their_ends() -> None:
    read = _public_logs.read_xes(LOG, io.BytesIO(XES.encode()))
    first, last = read.cases
    assert [one.activity for one in first] == ["ask"]
    assert [(one.transition, one.hour, one.weekday) for one in last] == [
        ("start", 23.25, 5),
        ("complete", 23.5, 5),
    ]
    assert last[1].at - last[0].at == 900


def test_a_transition_that_is_a_state_belongs_to_the_name() -> None:
    read = _public_logs.read_xes(Source("a log", "", states=True), io.BytesIO(XES.encode()))
    assert [(one.activity, one.transition) for one in read.cases[0]] == [("ask: Wait", "")]


def test_logs_are_read_from_the_archive(tmp_path: Path) -> None:
    packed = gzip.compress(XES.encode())
    path = tmp_path / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("pm4py-2.3.0/tests/a.xes.gz")
        member.size = len(packed)
        archive.addfile(member, io.BytesIO(packed))
    (read,) = _public_logs.read_logs(path, [LOG])
    assert len(read.cases) == 2


def test_without_the_archive_nothing_is_measured_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(command: list[str], **more: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="…\nERROR: no such host\n")

    monkeypatch.setattr(subprocess, "run", offline)
    monkeypatch.setattr(_public_logs, "_cache", lambda: tmp_path)
    told = logs.measure(quick=True)
    assert told == "The logs could not be had, so nothing was measured (pip: ERROR: no such host)."
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_is_another_is_not_read(tmp_path: Path) -> None:
    (tmp_path / _public_logs.ARCHIVE).write_bytes(b"something else")
    with pytest.raises(NotHad, match="not what was published"):
        _public_logs.archive(tmp_path)


# attempts


def test_activities_wait_work_and_leave_gaps() -> None:
    case = [
        event(0, "ask", "schedule"),
        event(5, "ask", "start"),
        event(6, "note", "complete"),
        event(8, "ask", "complete"),
        event(9, "ask", "complete"),
        event(20, "end", "complete"),
    ]
    log = log_of(case, spans=True)
    assert [(one.step, list(one.durations_s)) for one in works(log)] == [("ask", [3.0])]
    assert [(one.step, list(one.durations_s)) for one in waits(log)] == [("ask", [5.0])]
    gaps = {one.step: list(one.durations_s) for one in gaps_behind(log)}
    assert gaps == {"ask (schedule)": [5.0], "ask (complete)": [1.0, 11.0]}


def test_what_is_learned_is_learned_from_what_had_ended() -> None:
    past = attempts("s", [float(at) for at in range(200)], [1.0] * 199 + [1e6])
    known = learned(past, at=1000.0, alpha=1e-3)
    assert known is not None
    assert (known.spread.n, known.spread.longest_s, known.threshold.alpha) == (199, 1.0, 1e-3)
    assert learned(past, at=0.0, alpha=1e-3) is None
    assert learned(past.where(past.end > 1000), at=1000.0, alpha=1e-3) is None


# stalls


def test_only_what_the_log_could_show_is_judged() -> None:
    step = attempts(
        "s", [*map(float, range(200)), 1000.0, 1001.0, 1999.5], [1.0] * 201 + [900.0, 1]
    )
    tally = _log_stalls.tallied([step], split=500.0, until=2000.0, alpha=1e-3)
    assert (tally.past, tally.judged) == (200, 2)
    assert (tally.told["this"], tally.told["3 x p99"]) == (1, 1)


def test_what_was_called_and_ended_raises_the_limit_for_those_that_end_later() -> None:
    past = attempts("s", [float(at) for at in range(200)], [1.0] * 200)
    known = learned(past, 500.0, 1e-3)
    assert known is not None
    assert known.limit_s is not None
    assert known.limit_s < 50
    at_once = attempts("s", [0.0, 1.0, 2.0], [50.0, 50.0, 50.0])
    one_by_one = attempts("s", [0.0, 100.0, 200.0], [50.0, 70.0, 90.0])
    assert _log_stalls.late(at_once, known) == [0, 1, 2]
    assert _log_stalls.late(one_by_one, known) == [0, 2]


def test_parts_of_the_week() -> None:
    begun = attempts("s", [0.0] * 5, [1.0] * 5)
    hours, days = np.array([3.0, 8.0, 16.9, 12.0, 12.0]), np.array([0, 4, 1, 5, 6])
    put = Attempts("s", begun.begin, begun.end, hours, days, begun.case, begun.end_hour)
    names = [_log_stalls.PARTS[part] for part in _log_stalls.part_of_week(put)]
    assert names == ["Mo-Fr 0-8 h", "8-11 h", "14-17 h", "Saturday", "Sunday"]


def test_what_was_called_is_remembered_for_longer_than_a_week() -> None:
    day_s = _log_weeks.DAY_S
    begin = np.arange(0, 60 * day_s, day_s / 40)
    took_s = np.full(len(begin), 60.0)
    took_s[np.searchsorted(begin, np.array([30.0, 33.0, 45.0]) * day_s)] = 20_000.0
    step = attempts("s", list(begin), list(took_s))
    days = np.arange(28 * day_s, 60 * day_s, day_s)
    fleets = np.full(len(days), 280)
    as_is = _log_weeks.week_by_week(step, days, fleets)
    week = _log_weeks.week_by_week(step, days, fleets, _log_weeks.RECENT_S)
    assert (len(as_is.attempts), as_is.findings) == (1, 1)
    assert (len(week.attempts), week.findings) == (2, 2)
    assert np.mean(as_is.limits) > np.mean(week.limits)


def test_calls_that_overlap_are_one_finding() -> None:
    calls = [(0.0, 9.0, 9.0), (1.0, 3.0, 3.0), (5.0, 20.0, 15.0), (21.0, 22.0, 3.0)]
    called = _log_weeks.Called(dict(enumerate(calls)))
    assert called.findings == 2


# courses and identities


def test_what_ends_at_an_instant_goes_before_what_begins_then() -> None:
    case = [
        event(0, "ask", "start"),
        event(5, "ask", "complete"),
        event(5, "work", "start"),
        event(9, "note", "complete"),
        event(9, "also", "complete"),
    ]
    told = course(_log_courses.spans(case, whole=True))
    assert told == ("+ask", "-ask", "+work", "+note", "+also", "-note", "-also", "-work")


def test_a_step_that_ran_once_runs_again_behind_a_later_one() -> None:
    run = [("a", 0.0, 1.0), ("b", 2.0, 3.0), ("c", 4.0, 5.0)]
    found = {_log_courses.repeated(run, np.random.default_rng(seed)) for seed in range(20)}
    assert found == {
        ("+a", "-a", "+b", "-b", "+a", "-a", "+c", "-c"),
        ("+a", "-a", "+b", "-b", "+c", "-c", "+a", "-a"),
        ("+a", "-a", "+b", "-b", "+c", "-c", "+b", "-b"),
    }
    assert _log_courses.repeated(run[:1], np.random.default_rng(1)) is None


def test_the_fates_of_events_that_are_named() -> None:
    case = [event(0, "a"), event(1, "b"), event(2, "c")]
    told = {fate: told_of(case, "o-1", fate, whole=False) for fate in FATES}
    assert [one.sequence for one in told["healthy"]] == list(range(8))
    assert [one.sequence for one in told["lost"]] == [0, 1, 2, 4, 5, 6, 7]
    ids = Counter(one.event_id for one in told["delivered twice"])
    assert ids["o-1-3"] == 2
    first, again = (one for one in told["executed twice"] if one.event_id.startswith("o-1-3"))
    assert (first.step, first.step_run_id) == (again.step, again.step_run_id) == ("b", "call-1")
    assert first.event_id != again.event_id
