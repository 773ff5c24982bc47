"""`stallwatch demo`: a past, a live shop with known faults, and what Stallwatch said of them."""

import threading
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from stallwatch.app.demo import shop
from stallwatch.app.demo.faults import FAULTS, GAP_CONFIRM_S, SLOW, TIGHT_TIMEOUT, scripted
from stallwatch.app.demo.player import Player
from stallwatch.app.demo.roads import EventRoad, Road, SpanRoad
from stallwatch.app.demo.stage import Stage, Watch
from stallwatch.app.reporting import recommendations
from stallwatch.app.stopping import wait_until_told
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.model.events import StepEvent
from stallwatch.store import EventRow

EVERY_S: Final = 2.0
CHUNK: Final = 20_000
PAST_READ: Final = timedelta(days=28)


def run_demo(
    settings: Settings,
    clock: Clock,
    console: Console,
    seconds: float,
    stay: bool,
    data: Path | None,
    stopping: threading.Event,
) -> bool:
    """Play the demo; True if every fault was found in time and nothing healthy was reported.

    1. start a service and give it a past; 2. play the live shop over the real roads; 3. watch the findings;
    4. show what was found, an alert, the report; 5. with `stay`, serve on until `stopping`.
    """
    stage = Stage(settings, clock, data, gap_confirm=GAP_CONFIRM_S)
    service = stage.service
    try:
        with console.status("Importing six days of past …"):
            events = import_past(stage, clock.now())
        console.print(f"A past of {events} events was imported: 450 executions of each workflow.")
        service.start()
        console.print(Text(f"Watch it happen: {service.web_url}", style="bold"))
        start = clock.now() + timedelta(seconds=1)
        player = open_shop(stage, start, seconds)
        player.start()
        watch = Watch(FAULTS, SLOW, start)
        stage.watch(console, watch, seconds, stopping)
        tight = tight_timeout(stage)
        stage.show(console, watch, [(TIGHT_TIMEOUT, tight[1], "", tight[0])])
        console.print(Text(f"Timeout report: {stage.report()}"))
        console.print(Text(f"Pages: {service.web_url}"))
        if stay and not stopping.is_set():
            console.print("The shop stays open. Ctrl-C ends it.")
            wait_until_told(stopping)
        player.stop()
        return watch.passed() and tight[0]
    finally:
        service.stop()


def import_past(stage: Stage, now: datetime) -> int:
    """Store the seeded past as history; how many events it has."""
    events = shop.past(now - timedelta(minutes=1))
    store = stage.service.store
    for begin in range(0, len(events), CHUNK):
        store.insert_event_rows(
            [
                EventRow(event, now, "past", historical=True)
                for event in events[begin : begin + CHUNK]
            ]
        )
    store.fold(now)
    store.refresh_statistics()
    return len(events)


def open_shop(stage: Stage, start: datetime, seconds: float) -> Player:
    """The live shop: healthy executions and scripted faults, each workflow on its road."""
    service = stage.service
    events = EventRoad(service.ingest_url)
    roads: dict[str, Road] = {
        "order": events,
        "approval": events,
        "thumbnail": events,
        "refund": SpanRoad.grpc(service.grpc_address),
        "transcode": SpanRoad.http(service.ingest_url),
    }
    script = [*shop.healthy(start, 0.0, seconds, EVERY_S), *scripted(start)]
    script.sort(key=lambda event: event.time)
    return Player(stage.clock, roads, script, partial(_go_on, start, seconds))


def _go_on(start: datetime, seconds: float, now: datetime) -> list[StepEvent]:
    """More healthy executions, for as long as someone looks."""
    since_s = (now - start).total_seconds()
    return shop.healthy(start, since_s, since_s + seconds, EVERY_S)


def tight_timeout(stage: Stage) -> tuple[bool, str]:
    """Whether the report finds the too-tight timeout, and what it says."""
    now = stage.clock.now()
    store = stage.service.store
    for one in recommendations(store, stage.service.settings, now - PAST_READ, now):
        if one.workflow == shop.TIGHT["workflow"]:
            said = f"report: {one.verdict}"
            if one.recommended_timeout_s:
                said += f", use {one.recommended_timeout_s:.2g} s"
            return one.verdict == "too_tight", said
    return False, "report: nothing"
