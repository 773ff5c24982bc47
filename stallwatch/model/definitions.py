"""What a workflow's definition declares about its steps: timeouts, retries, what catches and what undoes."""

from typing import Final, Literal

import msgspec

Source = Literal["asl", "hostjson", "configuration", "server"]
SOURCES: Final[tuple[Source, ...]] = ("configuration", "asl", "hostjson", "server")
"""Where a definition can come from, the most trusted first. Histories declare too: in the events themselves."""


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is declared of one step, or with an empty `step` of the workflow. None and empty: not declared.

    `_s` is seconds. Retry policies that tell errors apart are given by the most general of their rules, and whole in
    `attributes`.
    """

    engine: str
    workflow: str
    namespace: str = "default"
    workflow_version: str = ""
    step: str = ""
    kind: str = ""
    """The engine's own word for what it is: `Task`, `Wait`, `Parallel`, `Map`, `activity`, `timer` …"""
    source: Source
    timeout_s: float | None = None
    heartbeat_timeout_s: float | None = None
    schedule_to_start_timeout_s: float | None = None
    schedule_to_close_timeout_s: float | None = None
    max_attempts: int | None = None
    """All attempts, the first included; 1: no retry; 0: without end."""
    backoff_s: float | None = None
    backoff_rate: float | None = None
    backoff_max_s: float | None = None
    jitter: bool | None = None
    retries: tuple[str, ...] = ()
    """The errors that are retried, in the engine's words."""
    catches: tuple[str, ...] = ()
    """The errors that are caught, in the engine's words."""
    caught_by: tuple[str, ...] = ()
    """The steps that go on where something was caught."""
    compensated_by: str = ""
    """The step that undoes this one, where the definition says so."""
    inside: str = ""
    """The Parallel or Map that this step is a branch's part of."""
    waiting_on: str = ""
    """As in a step event: what a wait waits for."""
    downstream: str = ""
    region: str = ""
    next: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
