"""`stallwatch demo --engine temporal`: the same story with a real Temporal server, workers that are processes, and their spans."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from stallwatch.app.demo.stage import Stage
from stallwatch.app.demo.temporal_processes import require_temporal
from stallwatch.app.demo.temporal_shop import Shop
from stallwatch.app.demo.temporal_story import WAITS
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.model.durations import format_duration

SEEN_WITHIN_S: Final = 5.0


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
        stage = Stage(settings, clock, data, policy=(*settings.detectors.policy, *WAITS))
        ending.callback(stage.service.stop)
        stage.service.start()
        shop = Shop(command, stage, stopping, ending)
        shop.make_past(console)
        if stopping.is_set():
            return False
        console.print(Text(f"Watch it happen: {stage.service.web_url}", style="bold"))
        watch = shop.go_wrong()
        seen_s = shop.seen_after_s()
        stage.watch(console, watch, seconds, stopping)
        seen = seen_s is not None and seen_s <= SEEN_WITHIN_S
        stage.show(
            console,
            watch,
            [
                (
                    "the same activity, before anyone can know that it hangs",
                    "an open attempt" if seen else "no open attempt",
                    "-" if seen_s is None else format_duration(seen_s),
                    seen,
                )
            ],
        )
        console.print(Text(f"Pages: {stage.service.web_url}"))
        if stay and not stopping.is_set():
            console.print("The shop stays open. Ctrl-C ends it.")
            stopping.wait()
        return watch.passed() and seen
