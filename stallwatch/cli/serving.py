"""`serve` and `demo`: what runs until it is told to end."""

import gc
import logging
import os
import signal
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stallwatch.app.demo.run import run_demo
from stallwatch.app.demo.temporal import run_temporal_demo
from stallwatch.app.roles import parse_roles
from stallwatch.app.service import Service
from stallwatch.app.stopping import wait_until_told
from stallwatch.cli.common import CLOCK, ConfigOption, err, out, settings_from
from stallwatch.config import check_secrets
from stallwatch.telemetry import configure_logging

ALL = "collector,detectors,alerts,web"


class DemoEngine(StrEnum):
    SIMULATED = "simulated"
    TEMPORAL = "temporal"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(serve)
    app.command()(demo)


def serve(
    roles: Annotated[str, typer.Option("--roles", help="Which parts to run, by comma.")] = ALL,
    config: ConfigOption = None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C; what was accepted is stored before it ends."""
    settings = settings_from(config)
    check_secrets(settings, config)
    configure_logging(settings.telemetry.log_level, sys.stderr, settings.telemetry.log_format)
    stopping = stop_event()
    service = Service(settings, CLOCK, parse_roles(roles))
    service.start()
    _look_for_garbage_seldom()
    console = err()
    for what, where in (
        ("web", service.web_url),
        ("OTLP/HTTP and /v1/events", service.ingest_url),
        ("OTLP/gRPC", service.grpc_address),
    ):
        if where:
            console.print(f"{what}: {where}", style="bold", highlight=False)
    wait_until_told(stopping)
    if not service.stop():
        # Python would wait for the threads of what hangs. All that was acknowledged is on disk or in the store.
        sys.stdout.flush()
        logging.shutdown()
        os._exit(0)


def demo(
    seconds: Annotated[
        int, typer.Option("--seconds", min=60, max=3600, help="How long the shop is played live.")
    ] = 75,
    engine: Annotated[
        DemoEngine,
        typer.Option(
            "--engine", help="The simulated shop, or a real Temporal server with workers."
        ),
    ] = DemoEngine.SIMULATED,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End after the table instead of serving on.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Where to keep the demo's data. Default: a new temporary folder."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Watch a small shop stall, and be told: known faults, what is found of them and how soon.

    Exit status 1 if a fault was not found in time or something healthy was reported.
    """
    settings = settings_from(config)
    configure_logging("error", sys.stderr, "text")
    # Where nobody sits, nobody would look at pages that are served on.
    stay = not exit_ and sys.stdout.isatty()
    run = run_demo if engine is DemoEngine.SIMULATED else run_temporal_demo
    if not run(settings, CLOCK, out(), seconds, stay, data, stop_event()):
        raise typer.Exit(1)


def _look_for_garbage_seldom() -> None:
    """Keep Python's garbage collector from looking at all that was loaded again and again, once all is loaded.

    Hundreds of requests wait for their commit at a time, each of them a few objects: by default it would look after
    every few requests, which is a quarter of what a request of one span costs. What is of no more use is freed at once
    all the same, but for cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def stop_event() -> threading.Event:
    """Set by SIGTERM and by Ctrl-C; a second Ctrl-C ends at once."""
    stopping = threading.Event()

    def stop(number: int, frame: object) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping
