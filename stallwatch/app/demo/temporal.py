"""`stallwatch demo --engine temporal`: a real Temporal server, workers that are processes, and their spans, no more."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from stallwatch.app.demo.faults import Fault
from stallwatch.app.demo.stage import Stage, Watch
from stallwatch.app.demo.temporal_processes import Stopped, require_temporal
from stallwatch.app.demo.temporal_shop import Shop
from stallwatch.app.demo.temporal_story import (
    FALSE_ALARMS_PER_WEEK,
    FLAKY,
    HANGS,
    HEALTHY,
    HUNG,
    KILLED,
    PATIENT,
    SLOW,
    UNHEARD,
    UNREAD,
    WAITS,
)
from stallwatch.app.stopping import wait_until_told
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.model.durations import format_duration

LOOK_S: Final = 0.1
SETTLE_S: Final = 1.0
"""Until the last spans of the past are exported, stored and folded."""
SEEN_WITHIN_S: Final = 5.0
SEEN_S_MAX: Final = 10.0
OPEN_ATTEMPT: Final = """
    SELECT scheduled_at FROM attempts
    WHERE execution_id = {execution_id:String} AND step = {step:String} AND status IN ('scheduled', 'running')
"""


def run_temporal_demo(
    settings: Settings,
    clock: Clock,
    console: Console,
    seconds: float,
    stay: bool,
    data: Path | None,
    stopping: threading.Event,
) -> bool:
    """Play the demo; True if every fault was found in time and nothing healthy was reported.

    1. start a service, a Temporal server, two workers and the customers; 2. let healthy executions make a past, and
    learn from it; 3. do the faults; 4. watch the findings; 5. show what was found; 6. with `stay`, serve on until
    `stopping`. UsageError if the extra is not installed; Transient if one of the processes fails.
    """
    command = require_temporal()
    with ExitStack() as ending:
        policy = (*settings.detectors.policy, *WAITS)
        budget = FALSE_ALARMS_PER_WEEK
        stage = Stage(settings, clock, data, policy=policy, false_alarms_per_week=budget)
        service = stage.service
        ending.callback(service.stop)
        service.start()
        try:
            shop = Shop(command, service.grpc_address, stage.folder, clock, stopping, ending)
            make_past(stage, shop, console, stopping)
            console.print(Text(f"Watch it happen: {service.web_url}", style="bold"))
            watch = go_wrong(shop, clock)
        except Stopped:
            console.print("Stopped before anything went wrong.")
            return False
        seen_s = seen_after_s(stage, stopping)
        stage.watch(console, watch, seconds, stopping)
        seen = seen_s is not None and seen_s <= SEEN_WITHIN_S
        what = "the same activity, before anyone can know that it hangs"
        said = "an open attempt" if seen else "no open attempt"
        after = "-" if seen_s is None else format_duration(seen_s)
        stage.show(console, watch, [(what, said, after, seen)])
        console.print(Text(f"Pages: {service.web_url}"))
        if stay and not stopping.is_set():
            console.print("The shop stays open. Ctrl-C ends it.")
            wait_until_told(stopping)
    return watch.passed() and seen


def make_past(stage: Stage, shop: Shop, console: Console, stopping: threading.Event) -> None:
    """Run healthy executions, then learn from them."""
    done = 0
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Healthy executions make a past", total=None)
        for done, total in shop.past():
            progress.update(task, completed=done, total=total)
    stage.clock.wait(stopping, SETTLE_S)
    # By itself the service calibrates every hour. The detectors use this from their next tick on.
    stage.service.brain.calibrate(stage.clock.now())
    console.print(f"A past of {done} executions of real workflows was run.")


def go_wrong(shop: Shop, clock: Clock) -> Watch:
    """Do what goes wrong and what is only slow, while healthy executions go on."""
    start = clock.now()
    faults: list[Fault] = []

    def done(fault: Fault) -> None:
        at_s = (clock.now() - start).total_seconds()
        faults.append(replace(fault, at_s=at_s))

    # First, so that nothing else is in the hands of the worker that is killed.
    shop.lose("order-lost")
    done(KILLED)
    shop.start("order", "order-unheard", HEALTHY, UNREAD)
    done(UNHEARD)
    shop.start("order", "order-hung", HANGS)
    done(HUNG)
    shop.start("order", "order-flaky", FLAKY)
    shop.start("approval", "approval-patient", PATIENT)
    shop.start("trial", "trial-patient", PATIENT)
    shop.open()
    return Watch(faults, SLOW, start)


def seen_after_s(stage: Stage, stopping: threading.Event) -> float | None:
    """How old the hung activity was when it was first seen as an open attempt; None if it was not."""
    since_s = stage.clock.monotonic_s()
    while stage.clock.monotonic_s() - since_s < SEEN_S_MAX:
        parameters = {"execution_id": "order-hung", "step": HUNG.step}
        rows = stage.service.store.select(OPEN_ATTEMPT, parameters)
        if rows:
            return float((stage.clock.now() - rows[0]["scheduled_at"]).total_seconds())
        if stage.clock.wait(stopping, LOOK_S):
            break
    return None
