"""telemetry_silence."""

from typing import Any

from detectors import telemetry_silence
from tests.detectors.support import ago, calibration, context, learned, tick


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
    (found,) = silent(100)
    assert (
        "longer than 21s less than once in 100,000; up to 1m is always allowed."
        in found.explanation
    )
    (found,) = silent(100, tau_s=80.0)
    assert "always allowed" not in found.explanation
    assert silent(100, tau_s=300.0) == []


def test_what_came_since_the_calibration_counts() -> None:
    assert silent(100, heard=[{"sender": "shop", "last_at": ago(3)}]) == []


def test_a_sender_hardly_known_is_not_judged() -> None:
    known = calibration(senders={})
    rows = [{"sender": "new", "last_at": ago(3600)}]
    assert telemetry_silence.judge(tick(), rows, context(calibration=known)) == []
