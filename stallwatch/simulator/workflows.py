"""What a synthetic workflow looks like: its steps, how long they take, how they fail."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from stallwatch.errors import InputError
from stallwatch.model.events import event_from_dict
from stallwatch.simulator.distributions import Constant, Distribution, parse_distribution
from stallwatch.simulator.spec import Spec

EXECUTIONS_MAX: Final = 1_000_000
DEFAULT_GAP_S: Final = 0.001
"""Two facts of one program are not told at the same instant, so their order can be seen."""
DEFAULT_GAP: Final = Constant(DEFAULT_GAP_S)
EVERYWHERE: Final[tuple[str, ...]] = ("queue", "worker", "downstream", "region", "compensates")
"""Fields of a step that all its events carry; DECLARED ones go with its scheduling and start."""
DECLARED: Final[tuple[str, ...]] = (
    "timeout_s",
    "heartbeat_timeout_s",
    "schedule_to_start_timeout_s",
    "schedule_to_close_timeout_s",
    "max_attempts",
    "backoff_s",
    "backoff_rate",
    "backoff_max_s",
    "waiting_on",
    "payload_bytes",
    "attributes",
)
COMMON: Final = {"engine": "custom", "namespace": "default", "workflow_version": ""}
_STEP_KEYS: Final = (
    "step",
    "duration",
    "gap",
    "queue_wait",
    "may_fail",
    "retry",
    "on_failure",
    *EVERYWHERE,
    *DECLARED,
)
_HISTORY_KEYS: Final = ("workflow", "n", "every", "fail", *COMMON)
_SHORT_KEYS: Final = tuple(key for key in _STEP_KEYS if key not in ("may_fail", "on_failure"))


@dataclass(frozen=True)
class Retry:
    """An attempt before the last fails with probability `share`; the next is `backoff_s` later."""

    share: float
    max_attempts: int
    backoff_s: float


@dataclass(frozen=True)
class Step:
    """One step; `fields` are step event fields that pass to its events as they are."""

    name: str
    duration: Distribution
    gap: Distribution = DEFAULT_GAP
    queue_wait: Distribution | None = None
    may_fail: bool = False
    retry: Retry | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parallel:
    """Branches that start together; what follows starts when the last of them has ended."""

    branches: tuple[tuple["Stage", ...], ...]


Stage = Step | Parallel


@dataclass(frozen=True)
class History:
    """A workflow and its past: `n` executions, one every `every_s`, the share `fail` failing."""

    workflow: str
    n: int
    every_s: float
    fail: float
    stages: tuple[Stage, ...]
    on_failure: tuple[Step, ...] = ()
    common: dict[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of the healthy course, those of branches too."""
        return tuple(_flatten(self.stages))


def _flatten(stages: tuple[Stage, ...]) -> list[Step]:
    steps: list[Step] = []
    for stage in stages:
        if isinstance(stage, Step):
            steps.append(stage)
        else:
            for branch in stage.branches:
                steps.extend(_flatten(branch))
    return steps


def parse_history(spec: Spec, seed: int) -> History:
    """One entry of a scenario's `history`, in its long form (`steps`) or short (`step`).

    InputError names the place of an unknown key, a wrong type, or a share that can never be met.
    """
    short = "steps" not in spec.mapping()
    allowed = (*_HISTORY_KEYS, *(_SHORT_KEYS if short else ("steps",)))
    children = spec.mapping(allowed, ("workflow", "n", "every"))
    if short:
        step_spec = {key: child for key, child in children.items() if key in _SHORT_KEYS}
        step = _parse_step(Spec(step_spec, spec.path, spec.file, spec.line), may_fail=True)
        stages: tuple[Stage, ...] = (step,)
        on_failure: tuple[Step, ...] = ()
    else:
        stages, on_failure = _parse_steps(children["steps"])
    every_s = children["every"].duration_s()
    if every_s <= 0:
        raise children["every"].error("must be above 0")
    common = {key: children[key].text() for key in COMMON if key in children}
    history = History(
        workflow=children["workflow"].text(),
        n=children["n"].integer(0, EXECUTIONS_MAX),
        every_s=every_s,
        fail=children["fail"].number(0, 1) if "fail" in children else 0.0,
        stages=stages,
        on_failure=on_failure,
        common=common,
        seed=seed,
    )
    if history.fail and not any(step.may_fail for step in history.steps):
        raise children["fail"].error("no step has `may_fail: true`")
    return history


def _parse_steps(spec: Spec) -> tuple[tuple[Stage, ...], tuple[Step, ...]]:
    """The healthy course, and the steps that run after a failure."""
    stages: list[Stage] = []
    on_failure: list[Step] = []
    for item in spec.sequence():
        children = item.mapping()
        if "on_failure" in children and children["on_failure"].boolean():
            on_failure.append(_parse_step(item))
        else:
            stages.append(_parse_stage(item))
    if not stages:
        raise spec.error("needs at least one step")
    return tuple(stages), tuple(on_failure)


def _parse_stage(spec: Spec) -> Stage:
    children = spec.mapping()
    if "parallel" not in children:
        return _parse_step(spec)
    branches = spec.mapping(("parallel",))["parallel"]
    if not branches.sequence():
        raise branches.error("needs at least one branch")
    return Parallel(tuple(_parse_branch(branch) for branch in branches.sequence()))


def _parse_branch(spec: Spec) -> tuple[Stage, ...]:
    """A branch is one step, or a list of what runs one after the other."""
    items = spec.sequence() if isinstance(spec.value, list) else [spec]
    if not items:
        raise spec.error("needs at least one step")
    for item in items:
        children = item.mapping()
        if "on_failure" in children:
            raise children["on_failure"].error("a step of a branch cannot run on failure")
    return tuple(_parse_stage(item) for item in items)


def _parse_step(spec: Spec, may_fail: bool = False) -> Step:
    children = spec.mapping(_STEP_KEYS, ("step", "duration"))
    if "on_failure" in children and "may_fail" in children:
        raise children["may_fail"].error("a step that runs on failure does not fail itself")
    name = children["step"].text()
    fields = {key: children[key].plain() for key in (*EVERYWHERE, *DECLARED) if key in children}
    _check_fields(spec, name, fields)
    retry = _parse_retry(children["retry"]) if "retry" in children else None
    if retry is not None:
        for key in ("max_attempts", "backoff_s"):
            if key in fields:
                raise children[key].error("is declared by `retry` already")
        fields |= {"max_attempts": retry.max_attempts, "backoff_s": retry.backoff_s}
    return Step(
        name=name,
        duration=parse_distribution(children["duration"]),
        gap=parse_distribution(children["gap"]) if "gap" in children else DEFAULT_GAP,
        queue_wait=parse_distribution(children["queue_wait"]) if "queue_wait" in children else None,
        may_fail=children["may_fail"].boolean() if "may_fail" in children else may_fail,
        retry=retry,
        fields=fields,
    )


def _parse_retry(spec: Spec) -> Retry:
    keys = ("share", "max_attempts", "backoff")
    children = spec.mapping(keys, keys)
    return Retry(
        share=children["share"].number(0, 1),
        max_attempts=children["max_attempts"].integer(1, 1000),
        backoff_s=children["backoff"].duration_s(),
    )


def _check_fields(spec: Spec, step: str, fields: dict[str, Any]) -> None:
    """The event's own checks, on an event that is thrown away."""
    when = datetime(2026, 1, 1, tzinfo=UTC)
    frame = {"event": "step.started", "time": when, "workflow": "w", "execution_id": "e"}
    try:
        event_from_dict({**frame, "step": step, **fields}, when)
    except InputError as error:
        raise spec.error_from(error) from None
