"""retry_storm: when, since when, what of, and what is said of it."""

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from detectors import retry_storm
from detectors.calibration import RetryHabit, retries
from detectors.calibration.retries import FIRSTS_MIN, habits_of, learn_retries
from detectors.retry_storm import parameters
from detectors.storm import Bin
from stallwatch.model.events import StepEvent
from stallwatch.model.findings import Observation
from stallwatch.store import Store
from tests.detectors.support import NAMES, NOW, PLACE, ago, calibration, context, tick
from tests.detectors.test_brain import Shop

BEGAN_US = round(ago(60).timestamp() * 1e6)


def row(
    retries: dict[int, int], firsts: int = 10, upto: int = 60, step: str = "charge", **known: Any
) -> dict[str, Any]:
    """`firsts` first attempts in each of the last bins, and retries by bin (0 is the newest). Of the first attempts as
    many failed as were tried again, unless `failed` says so."""
    failed = known.pop("failed", None)
    downstream = known.pop("downstream", "bank")
    bins = [
        Bin(
            number,
            firsts,
            retries.get(number, 0),
            min(firsts, retries.get(number, 0)) if failed is None else failed,
            firsts,
            firsts,
            firsts + retries.get(number, 0),
            [""],
            ["Http503"],
        )
        for number in range(upto, -1, -1)
    ]
    lately = sum(one.retries for one in bins if one.number < 6)
    return {
        **NAMES,
        "step": step,
        "retries_60s": lately,
        "firsts_60s": 6 * firsts,
        "raised": lately >= 5 and lately > 0.6 * firsts,
        "is_detailed": True,
        "calls": [([downstream], [6 * firsts], [lately])],
        "bins": bins,
        "executions": [(number, [f"o-{number}"]) for number in retries],
        "samples": [],
        "slots": [],
        **known,
    }


def judged(*rows: dict[str, Any], **known: Any) -> list[Observation]:
    return retry_storm.judge(tick(), rows, context(calibration=calibration(**known)))


STORM = dict.fromkeys(range(6), 10)


def test_many_retries_for_a_minute_are_a_storm() -> None:
    (found,) = judged(row(STORM))
    assert found.evidence["downstream"] == "bank"
    assert found.evidence["amplification"] == 2.0
    assert found.evidence["amplification_60s"] == {"bank": 2.0}
    assert found.since == ago(60)
    assert found.executions == ("o-5", "o-4", "o-3", "o-2", "o-1", "o-0")
    assert "Http503" in found.explanation


def test_a_storm_is_over_when_its_retries_are() -> None:
    assert judged(row(dict.fromkeys(range(30, 36), 10), raised=True)) == []


def test_usual_retries_are_none() -> None:
    assert judged(row(dict.fromkeys(range(0, 60, 5), 1), raised=True)) == []


def test_four_retries_are_too_few_whatever_the_odds() -> None:
    assert judged(row({0: 4}, firsts=1, raised=True)) == []


def test_a_step_without_habit_is_not_judged() -> None:
    assert judged(row(STORM), retries={}) == []


def test_what_is_always_tried_again_is_no_storm() -> None:
    often = RetryHabit(firsts=1000.0, ratio=1.0, dispersion=1e6)
    assert judged(row(STORM), retries={PLACE: often}) == []


def test_first_attempts_that_do_well_again_mean_that_it_feeds_itself() -> None:
    (burning,) = judged(row(STORM))
    (fed,) = judged(row(STORM, failed=0))
    assert (burning.evidence["trigger_gone"], fed.evidence["trigger_gone"]) == (False, True)
    assert "what set the storm off is over" in fed.explanation
    assert fed.next_steps[0].startswith("Let the retries of earlier calls drain")
    (few,) = judged(row({**STORM, 0: 40}, firsts=0, failed=0))
    assert not few.evidence["trigger_gone"]


def test_where_last_attempts_alone_are_told_nothing_is_said_of_first_ones() -> None:
    """A history that has the last attempt of a call only hides that its first one failed."""
    last = [(call, 4, BEGAN_US, BEGAN_US) for call in range(20)]
    (hidden,) = judged(row(STORM, failed=0, samples=last))
    (told,) = judged(row(STORM, failed=0, samples=spaced({2: 1})))
    assert (hidden.evidence["trigger_gone"], told.evidence["trigger_gone"]) == (False, True)


def spaced(pauses_s: dict[int, float], jitter: float = 0.0) -> list[tuple[int, int, int, int]]:
    """Twenty calls whose attempts fail at once and are tried again after these pauses."""
    samples = []
    for call in range(20):
        at_us = BEGAN_US + 2_000_000 * call
        samples.append((call, 1, at_us, at_us))
        for attempt, pause_s in pauses_s.items():
            at_us += round(1e6 * pause_s * (1 - jitter * call / 20))
            samples.append((call, attempt, at_us, at_us))
    return samples


@pytest.mark.parametrize(
    ("pauses_s", "jitter", "backoff", "kind", "words"),
    [
        ({2: 1, 3: 1, 4: 1}, 0.0, "fixed", "none", "do not grow (about 1s each), without jitter"),
        ({2: 1, 3: 2, 4: 4}, 1.0, "exponential", "full", "grow exponentially"),
        ({2: 1, 3: 1.4, 4: 1.96}, 0.5, "growing", "equal", "grow slowly"),
        ({2: 1}, 0.0, "unknown", "none", "The pause before a retry is about 1s, without jitter"),
    ],
)
def test_the_pauses_are_described(
    pauses_s: dict[int, float], jitter: float, backoff: str, kind: str, words: str
) -> None:
    (found,) = judged(row(STORM, samples=spaced(pauses_s, jitter)))
    assert (found.evidence["backoff"], found.evidence["jitter"]) == (backoff, kind)
    assert words in found.explanation
    advises_jitter = any("jitter" in one for one in found.next_steps)
    assert advises_jitter is (kind == "none")


def test_pauses_before_the_storm_say_nothing_of_it() -> None:
    earlier = [
        (call, n, start - 90_000_000, end - 90_000_000) for call, n, start, end in spaced({2: 1})
    ]
    (found,) = judged(row(STORM, samples=earlier))
    assert found.evidence["jitter"] == "unknown"


def test_retries_that_come_together_are_told() -> None:
    in_step = [(number, ([40 * number], [300])) for number in range(6)]
    (found,) = judged(row(dict.fromkeys(range(6), 300), firsts=300, slots=in_step))
    assert found.evidence["synchronised"]
    assert "in step" in found.explanation


def test_the_cause_is_what_most_callers_have_in_common() -> None:
    places = [(*PLACE[:3], f"call-{number}") for number in range(4)]
    habits = {place: RetryHabit(1000.0, 0.02, 1e6) for place in (PLACE, *places)}
    others = [row({0: 9}, step=place[3], downstream="ledger") for place in places]
    calm = row({}, step="call-9", downstream="bank")
    habits[(*PLACE[:3], "call-9")] = RetryHabit(1000.0, 0.02, 1e6)
    found = {one.step: one for one in judged(row(STORM), *others, calm, retries=habits)}
    assert found["charge"].evidence["root_cause"] == "ledger"
    assert "ledger stands out most" in found["charge"].explanation
    assert "ledger" in found["charge"].next_steps[0]


def test_a_policy_may_leave_it_out() -> None:
    off = context({"policy": [{"step": "charge", "enabled": False}]})
    assert retry_storm.judge(tick(), [row(STORM)], off) == []


def sums(young: bool, firsts: float, retries: float) -> dict[str, Any]:
    return {
        **NAMES, "step": "charge", "is_young": young, "sum_f": firsts, "sum_r": retries, "sum_ff": firsts,
        "sum_fr": retries, "sum_rr": retries, "sum_failed": retries,
        "windows": 10.0, "long_ff": firsts, "long_fr": retries, "long_rr": retries, "loud": [],
    }  # fmt: skip


def test_the_last_hour_teaches_only_what_is_hardly_known() -> None:
    known = habits_of([sums(True, 100, 100), sums(False, 1000, 20)])[PLACE]
    assert (known.firsts, known.first_failures) == (1000, 0.02)
    young = habits_of([sums(True, 100, 30), sums(False, FIRSTS_MIN - 1, 0)])[PLACE]
    assert young.ratio == pytest.approx(30.5 / (99 + FIRSTS_MIN + 1), rel=0.02)
    assert habits_of([sums(True, FIRSTS_MIN - 1, 9)]) == {}


def spiky(*windows: list[tuple[float, float]]) -> RetryHabit:
    return habits_of([{**sums(False, 86400, 2000), "loud": windows}])[PLACE]


def test_short_spikes_make_a_bin_count_less() -> None:
    calm, spike = [(10.0, 0.0)] * 20, [(10.0, 8.0)]
    assert spiky().evidence_max == math.inf
    assert spiky([*calm, (10.0, 2.0), *calm]).evidence_max == math.inf
    assert spiky([*calm, *spike * 3, *calm]).evidence_max == pytest.approx(3.2)
    assert spiky([*calm, *spike * 4, *calm]).evidence_max == pytest.approx(2.4)
    # Of several the fiercest counts; what none keeps quiet counts as the longest spike.
    both = spiky([*calm, *spike * 3, *calm], [*calm, *spike * 4, *calm])
    assert both.evidence_max == pytest.approx(2.4)
    assert spiky([*calm, *spike * 12, *calm]).evidence_max == pytest.approx(2.4)


def test_where_spikes_are_usual_a_storm_is_what_outlasts_them() -> None:
    spikes = {PLACE: RetryHabit(1000.0, 0.02, 1e6, evidence_max=2.4)}
    half_minute, minute = dict.fromkeys(range(3), 10), dict.fromkeys(range(6), 10)
    assert judged(row(half_minute))
    assert judged(row(half_minute), retries=spikes) == []
    assert judged(row(minute), retries=spikes)


def test_half_a_minute_of_many_is_enough() -> None:
    """A fiftieth of a hundred first attempts a minute was tried again, then a fifth of them is."""
    fresh = {0: 10, 1: 10}
    (found,) = judged(row(fresh, firsts=60, raised=True))
    assert found.evidence["retries_60s"] == 20
    assert judged(row({4: 10, 5: 10}, firsts=60, raised=True)) == []


def swinging(minutes: float) -> RetryHabit:
    """What a day teaches in which retries double for so many minutes, and then are rare for as long."""
    random = np.random.default_rng(3)
    level = 1 + np.sign(np.sin(np.arange(8640) * np.pi / (6 * minutes))) * 0.6 if minutes else 1.0
    firsts = np.full(8640, 10.0)
    retries = random.poisson(level * 0.1 * firsts).astype(float)
    f, r = (one.reshape(-1, 60).sum(1) for one in (firsts, retries))
    young = sums(False, firsts.sum(), retries.sum())
    short = {
        "sum_ff": (firsts**2).sum(),
        "sum_fr": (firsts * retries).sum(),
        "sum_rr": (retries**2).sum(),
    }
    long = {
        "windows": len(f),
        "long_ff": (f * f).sum(),
        "long_fr": (f * r).sum(),
        "long_rr": (r * r).sum(),
        "loud": [],
    }
    return habits_of([{**young, **short, **long}])[PLACE]


def test_how_long_swings_last_is_learned() -> None:
    assert swinging(0).inflation == 1.0
    assert swinging(30).inflation > 10


def test_the_retries_of_few_calls_are_believed_slowly() -> None:
    """Nine retries in a minute are over the limit of the faster chart alone."""
    calls = {number: 2 for number in range(4)} | {4: 1}
    habit = {PLACE: RetryHabit(1000.0, 0.002, 1e6)}
    many = row(calls, firsts=1)
    one = row(calls, firsts=1, executions=[(number, ["o-1", "o-2"]) for number in calls])
    assert len(judged(many, retries=habit)) == 1
    assert judged(one, retries=habit) == []


def test_the_statement_counts_attempts_and_pairs_them(store: Store) -> None:
    shop = Shop(store, ago(59))
    events = []
    for number in range(12):
        name = f"o-{number}"
        known = {"step": "charge", "downstream": "bank"}
        events += [
            shop.event(number, "step.started", name, attempt=1, **known),
            shop.event(number + 1, "step.retrying", name, attempt=1, error_type="E", **known),
            shop.event(number + 2, "step.started", name, attempt=2, **known),
            shop.event(number + 3, "step.completed", name, attempt=2, **known),
        ]
    shop.tell_all(events)
    (found,) = store.select(retry_storm.DETECTOR.sql, parameters(tick(), context()))
    assert (found["retries_60s"], found["firsts_60s"], found["raised"]) == (12, 12, True)
    (seen,) = judged(found)
    assert (seen.count, seen.evidence["downstream"]) == (12, "bank")
    assert seen.evidence["pauses_s"] == {"2": 1.0}
    assert seen.evidence["first_failure_share_60s"] == 1.0
    assert seen.evidence["goodput_60s"] == 0.5
    later = tick(NOW + timedelta(minutes=5))
    assert store.select(retry_storm.DETECTOR.sql, parameters(later, context())) == []


def tried(shop: Shop, at: float, name: str, again: bool) -> list[StepEvent]:
    """One call that fails and is tried again a second later, or completes at once."""
    known = {"step": "charge", "downstream": "bank"}
    events = [shop.event(at, "step.started", name, attempt=1, **known)]
    if again:
        events += [
            shop.event(at + 0.5, "step.retrying", name, attempt=1, error_type="E", **known),
            shop.event(at + 1, "step.started", name, attempt=2, **known),
        ]
    last = 2 if again else 1
    return [*events, shop.event(at + 1.5, "step.completed", name, attempt=last, **known)]


def test_the_statement_asks_for_the_last_half_minute_too(store: Store) -> None:
    shop = Shop(store, ago(59))
    calm = [tried(shop, number / 4, f"o-{number}", again=False) for number in range(100)]
    fresh = [tried(shop, 40 + number, f"r-{number}", again=True) for number in range(10)]
    shop.tell_all([event for events in (*calm, *fresh) for event in events])
    (found,) = store.select(retry_storm.DETECTOR.sql, parameters(tick(), context()))
    assert (found["retries_60s"], found["firsts_60s"]) == (10, 110)
    assert (found["retries_30s"], found["firsts_30s"], found["raised"]) == (10, 10, True)


def test_the_loudest_ten_minutes_are_learned(store: Store) -> None:
    """Three hours ago; a call every 10 s for twenty minutes. Two at once are tried again, and later three."""
    shop = Shop(store, ago(3 * 3600))
    calm = [tried(shop, 10 * number, f"o-{number}", again=False) for number in range(120)]
    loud = [tried(shop, 700 + number, f"r-{number}", again=True) for number in range(3)]
    less = [tried(shop, 100 + number, f"l-{number}", again=True) for number in range(2)]
    shop.tell_all([event for events in (*calm, *less, *loud) for event in events])
    rows = store.select(retries._SQL, {
        "from": ago(86400), "until": NOW, "young_from": ago(3600), "folded_from": 0,
        "loud_windows": 1, "loud_retries_min": 2,
    })  # fmt: skip
    ((window,),) = [row["loud"] for row in rows]
    assert sorted(map(tuple, window))[-1] == (4, 3)
    assert len(window) == 60
    assert learn_retries(store, NOW)[PLACE].evidence_max == math.inf
