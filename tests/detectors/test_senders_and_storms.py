"""telemetry_silence and retry_storm."""

from typing import Any

from detectors import retry_storm, telemetry_silence
from tests.detectors.support import NAMES, ago, calibration, context, learned, tick


def silent(
    last: float, tau_s: float | None = 20.0, heard: list[dict[str, Any]] | None = None
) -> Any:
    known = calibration(senders={"shop": learned(tau_s)}, last_beats={"shop": ago(last)})
    return telemetry_silence.judge(tick(), heard or [], context(calibration=known))


def test_silence_beyond_habit_is_told_with_its_sender() -> None:
    (found,) = silent(100)
    assert (found.key, found.workflow, found.since) == ("shop", "", ago(100))


def test_a_minute_is_always_allowed_and_habit_may_allow_more() -> None:
    assert silent(59) == []
    assert silent(100, tau_s=300.0) == []


def test_what_came_since_the_calibration_counts() -> None:
    assert silent(100, heard=[{"sender": "shop", "last_at": ago(3)}]) == []


def test_a_sender_hardly_known_is_not_judged() -> None:
    known = calibration(senders={})
    rows = [{"sender": "new", "last_at": ago(3600)}]
    assert telemetry_silence.judge(tick(), rows, context(calibration=known)) == []


def bins(retries: dict[int, int], firsts: int = 10, upto: int = 60) -> list[dict[str, Any]]:
    """`firsts` first attempts in each of the last bins, and retries by bin (0 is the newest)."""
    return [
        {
            **NAMES,
            "step": "charge",
            "bin": bin_,
            "firsts": firsts,
            "retries": retries.get(bin_, 0),
            "executions": [f"o-{bin_}"] if retries.get(bin_) else [],
            "downstreams": ["bank"],
            "queues": [""],
            "error_types": ["Http503"],
        }
        for bin_ in range(upto, -1, -1)
    ]


def test_many_retries_for_a_minute_are_a_storm() -> None:
    (found,) = retry_storm.judge(tick(), bins(dict.fromkeys(range(6), 10)), context())
    assert found.evidence["downstream"] == "bank"
    assert found.evidence["amplification"] == 2.0
    assert found.since == ago(60)
    assert "Http503" in found.explanation


def test_a_storm_is_over_when_its_retries_are() -> None:
    past = dict.fromkeys(range(30, 36), 10)
    assert retry_storm.judge(tick(), bins(past), context()) == []


def test_usual_retries_are_none() -> None:
    assert retry_storm.judge(tick(), bins(dict.fromkeys(range(0, 60, 5), 1)), context()) == []


def test_four_retries_are_too_few_whatever_the_odds() -> None:
    assert retry_storm.judge(tick(), bins({0: 4}, firsts=1), context()) == []


def test_a_step_without_habit_is_not_judged() -> None:
    unknown = context(calibration=calibration(retries={}))
    assert retry_storm.judge(tick(), bins(dict.fromkeys(range(6), 10)), unknown) == []
