"""What `doctor` looks at: can this installation work, and if not, what is in the way?"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from alerts.targets import target_configs
from collector.engines.registry import ENGINES, engine
from stallwatch.app.access import all_serving, ask, data_folder, new_store, state_folder
from stallwatch.app.claim import Claim, Serving, find_role
from stallwatch.app.lease import LEASED
from stallwatch.app.listening import bind
from stallwatch.app.protection import protection
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.errors import StallwatchError, UsageError
from stallwatch.model.durations import format_duration
from stallwatch.store import Store
from stallwatch.store.leasing import holder_of

FREE_BYTES_MIN: Final = 1024**3
TIMEOUT_S: Final = 5.0
IDLE_S: Final = 60.0
"""Detectors that have not judged for so long are in trouble: the first judgement, which learns, takes some seconds."""


@dataclass(frozen=True)
class Result:
    """One thing looked at."""

    check: str
    ok: bool
    detail: str


def examine(settings: Settings, clock: Clock) -> list[Result]:
    """Look at everything; a check that cannot be made says why. The configuration was read already."""
    return list(_examine(settings, clock))


def _examine(settings: Settings, clock: Clock) -> Iterator[Result]:
    yield Result("configuration", True, "every key is known and valid")
    folder = data_folder(settings)
    if folder is not None:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        yield Result("disk", free >= FREE_BYTES_MIN, f"{free / 1024**3:.1f} GiB free at {existing}")
    for check, ok, detail in protection(settings):
        yield Result(check, ok, detail)
    holders = all_serving(settings)
    for holder in holders:
        yield from _service(holder)
        yield from _detectors(holder)
    if not holders:
        nobody = (
            "no serve of this configuration runs" if folder is None else "no serve holds this store"
        )
        yield Result("service", True, nobody)
    if folder is None or not holders:
        # What a serve has is looked at there.
        if not any(holder.ingest for holder in holders):
            yield _port("collector.otlp_http", settings.collector.otlp_http)
            yield _port("collector.otlp_grpc", settings.collector.otlp_grpc)
        if not any(holder.web for holder in holders):
            yield _port("web.listen", settings.web.listen)
        yield from _store(settings, clock)
    yield from _engines(settings, holders)
    names = [
        f"{receiver.name} ({name})"
        for receiver in settings.alerts.receivers
        for _, name, _ in target_configs(receiver)
    ]
    yield Result("alerts", bool(names), ", ".join(names) or "no receiver has a target")
    yield Result("state", True, str(state_folder(settings)))


def _service(holder: Serving) -> Iterator[Result]:
    for name, url in (("service", holder.web), ("collector", holder.ingest)):
        if not url:
            continue
        try:
            answer = httpx.get(f"{url}/healthz", timeout=TIMEOUT_S, trust_env=False)
            ok, detail = answer.is_success, f"{url} answers (pid {holder.pid})"
        except httpx.HTTPError as error:
            ok, detail = False, f"{url}: {error}"
        yield Result(name, ok, detail)


def _detectors(holder: Serving) -> Iterator[Result]:
    """Whether they judge, and which of them fail."""
    told: dict[str, Any] = ask(holder, "detectors") if holder.web else {}
    if not told:
        return
    idle = f"nothing was judged for {format_duration(told['idle_s'])}"
    judge = told["idle_s"] <= IDLE_S
    yield Result("detectors", judge, "judge" if judge else f"{idle}: look at the log of `serve`")
    for name, error in sorted(told["failing"].items()):
        yield Result(f"detector {name}", False, f"fails: {error}")


def _engines(settings: Settings, holders: Sequence[Serving]) -> Iterator[Result]:
    configured = [name for name in ENGINES if getattr(settings.engines, name) is not None]
    problems: dict[str, str] = {}
    for holder in holders if configured else ():
        problems |= ask(holder, "engines") if holder.web else {}
    for name in configured:
        check = f"engine {name}"
        try:
            engine(name).poller(getattr(settings.engines, name)).close()
        except StallwatchError as error:
            yield Result(check, False, str(error))
            continue
        if name in problems:
            yield Result(check, not problems[name], problems[name] or "answers")
        else:
            yield Result(check, True, f"nobody asks it now; `stallwatch pull {name}` does once")


def _port(key: str, address: str) -> Result:
    try:
        bind(key, address).close()
    except UsageError as error:
        return Result(key, False, str(error))
    return Result(key, True, f"{address} is free")


def _store(settings: Settings, clock: Clock) -> Iterator[Result]:
    folder = data_folder(settings)
    try:
        claim = None if folder is None else Claim.take(folder)
    except StallwatchError as error:
        yield Result("store", False, str(error))
        return
    store = new_store(settings)
    try:
        # First, because it makes the database of a new installation, without which nothing can be asked.
        waiting = store.migrate(clock.now(), dry_run=True)
        version = store.select("SELECT version() AS version")[0]["version"]
        yield Result(
            "store", True, f"{settings.store.url.split('@')[-1]}: ClickHouse engine {version}"
        )
        yield Result("migrations", True, f"{len(waiting)} to apply" if waiting else "up to date")
        if not waiting:
            yield _senders(store, clock)
            if folder is None:
                yield from leases(store, settings)
    except StallwatchError as error:
        yield Result("store", False, f"{settings.store.url.split('@')[-1]}: {error}")
    finally:
        store.close()
        if claim is not None:
            claim.release()


def leases(store: Store, settings: Settings) -> Iterator[Result]:
    """Who judges and alerts on the server, and whether the serve here pauses for that."""
    for role in LEASED:
        check, holder = f"lease {role}", holder_of(store.engine, role)
        if holder is None:
            yield Result(check, True, f"nobody runs {role} on this store")
            continue
        who = f"{holder.host} (pid {holder.pid}), {format_duration(holder.renewed_s_ago)} ago"
        ours = find_role(state_folder(settings), role)
        if ours is None or ours.pid == holder.pid:
            yield Result(check, True, who)
        else:
            yield Result(check, False, f"{who}: the serve here (pid {ours.pid}) pauses")


def _senders(store: Store, clock: Clock) -> Result:
    row = store.select("SELECT count() AS n, max(last_received_at) AS at FROM ingest_health")[0]
    if not row["n"]:
        return Result("senders", True, "nothing was received yet")
    age = format_duration((clock.now() - row["at"]).total_seconds())
    return Result("senders", True, f"{row['n']} known, the last one heard {age} ago")
