"""A seeded world: a workflow in a namespace of its own, its past, what it does now, and what goes wrong with it.

Everything follows from the seed. What a world says of itself (`harmed`, `wanted`) is what the play is judged by: no
detector is asked.
"""

import dataclasses
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from msgspec.structs import replace

from stallwatch.model.events import StepEvent
from stallwatch.simulator.history import executions_between, past_events
from stallwatch.simulator.spec import plain_spec
from stallwatch.simulator.workflows import History, parse_history

START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
LIVE_S: Final = 600.0
"""Faults befall executions that begin so soon."""
AFTER_S: Final = 240.0
"""How long healthy ones go on to begin after that."""
PAST_N: Final = 300
LATE_S: Final = 20.0
"""The latest that a delayed event arrives; clocks are off by two seconds at most."""
SKEW_S: Final = 2.0


class Harm(StrEnum):
    """What goes wrong with one execution."""

    HUNG = "hung"  # a step begins and never ends
    LOST_CHECKPOINT = "lost_checkpoint"  # a step ends and nothing follows
    LOST_EVENT = "lost_event"  # an event in the middle never arrives
    RAN_TWICE = "ran_twice"  # two workers begin the same attempt


@dataclass(frozen=True)
class Harmed:
    """An execution with a fault. `at`: when it began, by the sender's clock; `told_at`: when the last of what tells of
    it was received. `step` names the step concerned, in its `version`."""

    harm: Harm
    step: str
    version: str
    at: datetime
    told_at: datetime


@dataclass(frozen=True)
class Delivery:
    event: StepEvent
    received_at: datetime


@dataclass
class World:
    """`past`: all received before the start. `deliveries`: what comes afterwards, by receive time."""

    seed: int
    namespace: str
    workflow: str
    past: Sequence[Delivery]
    deliveries: list[Delivery] = field(default_factory=list)
    harmed: dict[str, Harmed] = field(default_factory=dict)


def make(seed: int) -> World:
    """1. draw a workflow; 2. its past; 3. what it does now, with a deploy in the middle; 4. faults; 5. the road."""
    rng = random.Random(seed)
    namespace = f"world-{seed}"
    spec = _workflow(rng, namespace)
    history = parse_history(plain_spec(spec), seed)
    deployed = parse_history(plain_spec(_deployed(rng, spec)), seed + 1)
    skew = timedelta(seconds=rng.uniform(-SKEW_S, SKEW_S))
    past = past_events(history, START - timedelta(seconds=LATE_S), "past-{i}")
    world = World(seed, namespace, history.workflow, [_sent(rng, event, skew) for event in past])
    half_s = LIVE_S / 2
    live = executions_between(history, START, SKEW_S, half_s, "old-{i}")
    live += executions_between(deployed, START, half_s, LIVE_S + AFTER_S, "new-{i}")
    executions: dict[str, list[StepEvent]] = defaultdict(list)
    for event in live:
        executions[event.execution_id].append(event)
    numbered = {name: _numbered(events) for name, events in executions.items()}
    soon = START + timedelta(seconds=LIVE_S)
    candidates = sorted(name for name, events in numbered.items() if events[0].time < soon)
    unlucky = rng.sample(candidates, k=rng.randint(0, 3))
    for name in sorted(numbered):
        events = numbered[name]
        if name in unlucky:
            events = _harm(rng, world, history, events)
        sent = [_sent(rng, event, skew) for event in events]
        world.deliveries += sent
        if name in world.harmed:
            told_at = max(one.received_at for one in sent)
            harmed = world.harmed[name]
            world.harmed[name] = dataclasses.replace(harmed, at=harmed.at + skew, told_at=told_at)
        again = rng.sample(sent, k=len(sent) // 8)
        world.deliveries += [_repeated(rng, one) for one in again]
    world.deliveries.sort(key=lambda one: one.received_at)
    return world


def _workflow(rng: random.Random, namespace: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        _step(rng, f"step-{number}") for number in range(rng.randint(2, 3))
    ]
    if rng.random() < 0.3:
        steps[-1]["retry"] = {"share": 0.02, "max_attempts": 3, "backoff": "1s"}
    return {
        "workflow": "order", "namespace": namespace, "n": PAST_N,
        "every": f"{rng.randint(8, 15)}s", "workflow_version": "1", "steps": steps,
    }  # fmt: skip


def _step(rng: random.Random, name: str) -> dict[str, Any]:
    median = f"{rng.uniform(0.3, 3):.2f}s"
    shapes: list[dict[str, Any]] = [
        {"lognormal": {"median": median, "sigma": rng.uniform(0.1, 0.8)}},
        {"exponential": {"mean": median}},
        {"uniform": {"low": "200ms", "high": "4s"}},
    ]
    gap = {"constant": f"{rng.randint(5, 200)}ms"}
    return {"step": name, "duration": rng.choice(shapes), "gap": gap}


def _deployed(rng: random.Random, spec: dict[str, Any]) -> dict[str, Any]:
    """The next version: the same steps, some of them a little slower."""
    steps = []
    for step in spec["steps"]:
        [(kind, shape)] = step["duration"].items()
        if kind == "lognormal" and rng.random() < 0.5:
            slower = float(shape["median"][:-1]) * rng.uniform(1.0, 1.4)
            shape = {**shape, "median": f"{slower:.2f}s"}
        steps.append({**step, "duration": {kind: shape}})
    return {**spec, "workflow_version": "2", "steps": steps}


def _numbered(events: list[StepEvent]) -> list[StepEvent]:
    return [replace(event, sequence=number) for number, event in enumerate(events)]


def _harm(
    rng: random.Random, world: World, history: History, events: list[StepEvent]
) -> list[StepEvent]:
    """The execution's events as they would be with a fault that is drawn."""
    harm = rng.choice(list(Harm))
    place = rng.randrange(len(history.steps))
    step = history.steps[place].name
    starts = [n for n, one in enumerate(events) if (one.step, one.event) == (step, "step.started")]
    ends = [n for n, one in enumerate(events) if (one.step, one.event) == (step, "step.completed")]
    cut, kept = starts[-1], events[: starts[-1] + 1]
    if harm is Harm.LOST_CHECKPOINT:
        cut, kept = ends[-1], events[: ends[-1] + 1]
    elif harm is Harm.LOST_EVENT:
        cut, kept = ends[-1], events[: ends[-1]] + events[ends[-1] + 1 :]
    elif harm is Harm.RAN_TWICE:
        # The second worker's own count goes on where the first one's is: it knows of no other.
        again = replace(
            events[cut], event_id=f"again-{world.seed}-{cut}", worker="other", sequence=None
        )
        again = replace(again, attempt=events[cut].attempt or 1)
        first = replace(events[cut], attempt=events[cut].attempt or 1)
        kept = [*events[:cut], first, again, *events[cut + 1 :]]
    begun = events[cut]
    world.harmed[begun.execution_id] = Harmed(
        harm, step, begun.workflow_version, begun.time, begun.time
    )
    return kept


def _sent(rng: random.Random, event: StepEvent, skew: timedelta) -> Delivery:
    """On its way: soon there mostly, sometimes late, so that later ones overtake it."""
    delay_s = rng.uniform(0.05, LATE_S) if rng.random() < 0.02 else rng.expovariate(5)
    return Delivery(replace(event, time=event.time + skew), event.time + timedelta(seconds=delay_s))


def _repeated(rng: random.Random, sent: Delivery) -> Delivery:
    return Delivery(sent.event, sent.received_at + timedelta(seconds=rng.uniform(0, 60)))
