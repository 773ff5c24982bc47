"""What every demo shares: a service on free ports, the watch over its findings, the closing table."""

import io
import socket
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from stallwatch.app.demo.faults import Fault, Slow
from stallwatch.app.reporting import write_weekly_report
from stallwatch.app.service import Service
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.config.settings import is_loopback
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Finding, Status

LOOK_S: Final = 0.5
UNPROTECTED: Final = dict.fromkeys(("tokens_file", "tls_cert", "tls_key", "tls_client_ca"))
"""A demo talks to itself, on this machine alone, without the secrets of the real service."""


@dataclass
class Told:
    """When and how a fault was found."""

    finding: Finding
    at: datetime


@dataclass
class Watch:
    """Holds what fires against what must and what must not."""

    faults: Sequence[Fault]
    slow: Sequence[Slow]
    start: datetime
    found: dict[str, Told] = field(default_factory=dict)
    strangers: dict[str, Finding] = field(default_factory=dict)

    def look(self, findings: Sequence[Finding], now: datetime) -> None:
        """Note what is firing at `now`."""
        slow = {one.execution_id for one in self.slow}
        for finding in findings:
            if finding.status is not Status.FIRING:
                continue
            fault = next((one for one in self.faults if one.is_told_by(finding)), None)
            if fault is None or slow & set(finding.executions):
                self.strangers.setdefault(finding.fingerprint, finding)
            elif finding.detector == fault.detector:
                self.found.setdefault(fault.what, Told(finding, now))

    @property
    def complete(self) -> bool:
        return len(self.found) == len(self.faults)

    def delay_s(self, fault: Fault) -> float | None:
        """Seconds from the fault's begin to its finding, None while it is not found."""
        told = self.found.get(fault.what)
        if told is None:
            return None
        return (told.at - self.start - timedelta(seconds=fault.at_s)).total_seconds()

    def passed(self) -> bool:
        """Whether every fault was found within its time and nothing else was reported."""
        delays = [(fault, self.delay_s(fault)) for fault in self.faults]
        in_time = all(delay is not None and delay <= fault.within_s for fault, delay in delays)
        return in_time and not self.strangers


class Stage:
    """A service of its own for the demo, quiet on the console, with the alerts kept for showing."""

    def __init__(
        self, settings: Settings, clock: Clock, data: Path | None, **detectors: Any
    ) -> None:
        """`detectors`: settings of [detectors] that the demo's compressed time needs."""
        self.folder = data or Path(tempfile.mkdtemp(prefix="stallwatch-demo-"))
        self.alerts = io.StringIO()
        self.clock = clock
        self.service = Service(
            settings.model_copy(
                update={
                    "store": settings.store.model_copy(
                        update={"url": f"chdb://{(self.folder / 'store').resolve()}", "state": None}
                    ),
                    "collector": settings.collector.model_copy(
                        update={
                            **UNPROTECTED,
                            "otlp_http": free(settings.collector.otlp_http),
                            "otlp_grpc": free(settings.collector.otlp_grpc),
                        }
                    ),
                    "web": settings.web.model_copy(
                        update={**UNPROTECTED, "listen": free(settings.web.listen)}
                    ),
                    "detectors": settings.detectors.model_copy(update=detectors),
                }
            ),
            clock,
            console=self.alerts,
        )

    def watch(
        self,
        console: Console,
        watch: Watch,
        seconds: float,
        stopping: threading.Event,
    ) -> None:
        """Look at the findings until everything was found (and a little longer), or the time is over."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("The shop is open", total=seconds)
            seen: set[str] = set()
            while not stopping.is_set():
                now = self.clock.now()
                elapsed_s = (now - watch.start).total_seconds()
                watch.look(self.service.brain.findings(), now)
                for what in watch.found.keys() - seen:
                    seen.add(what)
                    told_at = watch.found[what]
                    line = Text(f"{elapsed_s:5.1f}s  ", style="dim")
                    line.append("found  ", "bold green")
                    line.append(told_at.finding.title)
                    progress.console.print(line)
                count = f"{len(watch.found)} of {len(watch.faults)} faults found"
                progress.update(task, completed=min(elapsed_s, seconds), description=count)
                if elapsed_s >= seconds:
                    return
                self.clock.wait(stopping, LOOK_S)

    def show(
        self, console: Console, watch: Watch, extra: Sequence[tuple[str, str, str, bool]] = ()
    ) -> None:
        """The table fault → finding → delay, an alert as sent, and where to look further."""
        table = Table(title="What went wrong, and what was said of it", title_justify="left")
        for name in ("fault", "finding", "after", "allowed", ""):
            table.add_column(name, justify="right" if name in ("after", "allowed") else "left")
        for fault in watch.faults:
            delay_s = watch.delay_s(fault)
            ok = delay_s is not None and delay_s <= fault.within_s
            table.add_row(
                fault.what,
                f"{fault.detector} {fault.workflow}" + (f".{fault.step}" if fault.step else ""),
                "-" if delay_s is None else format_duration(max(0.0, delay_s)),
                format_duration(fault.within_s),
                verdict(ok),
            )
        for what, said, when, ok in extra:
            table.add_row(what, said, when, "", verdict(ok))
        for slow in watch.slow:
            named = any(slow.execution_id in f.executions for f in watch.strangers.values())
            table.add_row(
                slow.what,
                "nothing, rightly" if not named else "a false alarm",
                "",
                "",
                verdict(not named),
            )
        console.print(table)
        for stranger in watch.strangers.values():
            console.print(
                Text(f"not expected: {stranger.detector}: {stranger.title}", style="bold red")
            )
        alerts = self.alerts.getvalue().strip()
        if alerts:
            console.print(
                Panel(
                    Text(first_alert(alerts)), title="An alert as it was told", title_align="left"
                )
            )

    def report(self) -> Path:
        """Write the timeout tuning report; its path."""
        report = write_weekly_report(self.service.store, self.service.settings, self.clock.now())
        return report.path


def first_alert(text: str) -> str:
    """The first of the alerts that the console target wrote: a line, and indented ones below it."""
    lines = text.split("\n")
    rest = [number for number, line in enumerate(lines[1:], 1) if line and not line[0].isspace()]
    return "\n".join(lines[: rest[0]] if rest else lines)


def verdict(ok: bool) -> Text:
    return Text("ok", "green") if ok else Text("MISSED", "bold red")


def free(address: str) -> str:
    """This machine's own side of the address, with its port if nothing listens there, else one that is free."""
    host, _, port = address.rpartition(":")
    if not is_loopback(address):
        host = "127.0.0.1"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError:
            probe.bind((host.strip("[]"), 0))
        return f"{host}:{probe.getsockname()[1]}"
