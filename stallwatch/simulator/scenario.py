"""Scenario files: a synthetic past, events with their arrival, and what must be firing when.

```yaml
name: a charge hangs after its worker died
seed: 7                        # optional; else it follows from the file's name and history
history: [...]                 # see workflows.parse_history
events:
  - {history: {workflow: order}, from: 0s, until: 10m, executions: "bg-{i}"}
  - {at: 0s, event: workflow.started, workflow: order, execution_id: o-1}
expect:
  - {at: 5s, findings: []}
policy: {}                     # [detectors] configuration, handed on as it is
```
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from stallwatch.errors import InputError, UsageError
from stallwatch.model.events import FIELDS, StepEvent, event_from_dict
from stallwatch.simulator.expectations import Expectation, offset_or_time, parse_expectation
from stallwatch.simulator.history import executions_between, past_events
from stallwatch.simulator.spec import Spec, read_yaml
from stallwatch.simulator.workflows import COMMON, EXECUTIONS_MAX, History, parse_history

START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""Every scenario starts here, on a Monday at noon, so that a run can be repeated to the letter."""
_KEYS: Final = ("name", "seed", "history", "events", "expect", "policy")
_EVENT_KEYS: Final = frozenset({"at", "received", "repeat", "due"}) | FIELDS - {"time"}
_NUMBER: Final = "{i}"


@dataclass(frozen=True)
class Delivery:
    """An event and when it reaches the collector."""

    received_at: datetime
    event: StepEvent


@dataclass(frozen=True)
class Scenario:
    """A scenario file, read.

    `past` is sorted by event time, `deliveries` by receive time, `expectations` by `at`.
    `policy_line` is the line of `policy`, 0 without one.
    """

    file: Path
    name: str
    seed: int
    start: datetime
    past: list[StepEvent]
    deliveries: list[Delivery]
    expectations: list[Expectation]
    policy: dict[str, Any] = field(default_factory=dict)
    policy_line: int = 0


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file; InputError names the file and the line of what is wrong."""
    spec = read_yaml(path)
    children = spec.mapping(_KEYS, ("expect",))
    seed = children["seed"].integer(0, 2**63 - 1) if "seed" in children else _seed(path, children)
    histories = _parse_histories(children.get("history"), seed)
    deliveries = _parse_deliveries(children.get("events"), histories)
    expectations = [parse_expectation(item, START) for item in children["expect"].sequence()]
    if not expectations:
        raise children["expect"].error("expects nothing")
    policy = children.get("policy", Spec({}))
    policy.mapping()
    return Scenario(
        file=path,
        name=children["name"].text() if "name" in children else path.stem,
        seed=seed,
        start=START,
        past=_past(histories),
        deliveries=sorted(deliveries, key=lambda delivery: delivery.received_at),
        expectations=sorted(expectations, key=lambda expectation: expectation.at),
        policy=policy.plain(),
        policy_line=policy.line,
    )


def _seed(path: Path, children: dict[str, Spec]) -> int:
    """The same file gives the same past; another name or another history gives another one."""
    history = children["history"].plain() if "history" in children else []
    said = json.dumps([path.name, history], sort_keys=True)
    return int.from_bytes(hashlib.blake2b(said.encode(), digest_size=6).digest())


def _parse_histories(spec: Spec | None, seed: int) -> list[History]:
    items = spec.sequence() if spec else []
    return [parse_history(item, seed + number) for number, item in enumerate(items)]


def _past(histories: list[History]) -> list[StepEvent]:
    """All histories by time, executions named apart: a workflow is no part of their identity."""
    events: list[StepEvent] = []
    for number, history in enumerate(histories):
        events += past_events(history, START, f"past-{history.workflow}-{number}-{_NUMBER}")
    return sorted(events, key=lambda event: event.time)


def _parse_deliveries(spec: Spec | None, histories: list[History]) -> list[Delivery]:
    deliveries: list[Delivery] = []
    taken: dict[str, tuple[History, int]] = {}
    for item in spec.sequence() if spec else []:
        if "history" in item.mapping():
            deliveries += _parse_continuation(item, histories, taken)
        else:
            deliveries += _parse_event(item)
    return deliveries


def _parse_continuation(
    spec: Spec, histories: list[History], taken: dict[str, tuple[History, int]]
) -> list[Delivery]:
    """`{history: {workflow: order}, from: 0s, until: 10m, executions: "bg-{i}"}`.

    `taken`: the names that earlier lines gave, of which history, and how often; this line's are added. A history that
    goes on twice under one name goes on counting.
    """
    children = spec.mapping(("history", "from", "until", "executions"), ("until",))
    history = _choose_history(children["history"], histories)
    if "executions" in children:
        names = children["executions"].text()
    else:
        free = "bg-{i}" not in taken or taken["bg-{i}"][0] is history
        names = "bg-{i}" if free else f"bg-{history.workflow}-{len(taken)}-{{i}}"
    if _NUMBER not in names:
        raise children["executions"].error("needs an {i}, or all executions are one")
    whose, first = taken.get(names, (history, 0))
    if whose is not history:
        raise spec.error(f"executions {names} are another line's already: name these otherwise")
    since_s = children["from"].offset_s() if "from" in children else 0.0
    until_s = children["until"].offset_s()
    try:
        events = executions_between(history, START, since_s, until_s, names, first)
    except UsageError as error:
        raise spec.error(str(error)) from None
    taken[names] = history, first + len({event.execution_id for event in events})
    return [Delivery(event.time, event) for event in events]


def _choose_history(spec: Spec, histories: list[History]) -> History:
    """The one history of that workflow (and step, where short forms share a workflow; and what else is given)."""
    children = spec.mapping(("workflow", "step", *COMMON), ("workflow",))
    workflow = children["workflow"].text()
    found = [history for history in histories if history.workflow == workflow]
    for key, usual in COMMON.items():
        if key in children:
            value = children[key].text()
            found = [history for history in found if history.common.get(key, usual) == value]
    if "step" in children:
        name = children["step"].text()
        found = [item for item in found if any(step.name == name for step in item.steps)]
    if len(found) != 1:
        raise spec.error(f"fits {len(found)} histories and must fit one")
    return found[0]


def _parse_event(spec: Spec) -> list[Delivery]:
    """One event, or the `n` of its `repeat`."""
    children = spec.mapping(_EVENT_KEYS, ("at", "event"))
    at_s = children["at"].offset_s()
    received_s = children["received"].offset_s() if "received" in children else at_s
    n, every_s = _parse_repeat(children["repeat"]) if "repeat" in children else (1, 0.0)
    due = offset_or_time(children["due"], START) if "due" in children else None
    said = {
        key: child.plain()
        for key, child in children.items()
        if key not in ("at", "received", "repeat", "due")
    }
    deliveries = []
    for number in range(n):
        shift = timedelta(seconds=number * every_s)
        fields = _numbered(said, number) if "repeat" in children else dict(said)
        fields["time"] = START + timedelta(seconds=at_s) + shift
        if due is not None:
            fields["due"] = due + shift
        received_at = START + timedelta(seconds=received_s) + shift
        try:
            event = event_from_dict(fields, received_at)
        except InputError as error:
            raise spec.error_from(error) from None
        deliveries.append(Delivery(received_at, event))
    return deliveries


def _parse_repeat(spec: Spec) -> tuple[int, float]:
    children = spec.mapping(("n", "every"), ("n", "every"))
    return children["n"].integer(1, EXECUTIONS_MAX), children["every"].duration_s()


def _numbered(value: Any, number: int) -> Any:
    """`value` with `{i}` replaced in every text of it."""
    if isinstance(value, str):
        return value.replace(_NUMBER, str(number))
    if isinstance(value, dict):
        return {key: _numbered(inner, number) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbered(inner, number) for inner in value]
    return value
