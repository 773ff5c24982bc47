"""Which state machines and executions there are, by the lists of the API."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

from collector.engines.stepfunctions.aws import Api
from collector.engines.stepfunctions.watching import Source, time_of
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig

WATCHED_MAX: Final = 20_000
"""Executions of a region that are remembered; those of map runs, which can be millions, at most half as many."""
_MACHINES_EVERY: Final = timedelta(minutes=5)
log = logging.getLogger(__name__)


class Machines:
    """The state machines of a region that the configuration wants."""

    def __init__(self, config: StepFunctionsConfig) -> None:
        self.arns: list[str] = []
        """All of them: express ones have definitions too."""
        self.looked_at: datetime | None = None
        self._config = config
        self._express: set[str] = set()
        self._listed_at: datetime | None = None

    def refresh(self, api: Api, sources: dict[str, Source], now: datetime) -> None:
        """List them if the last list is old; `sources` then has the standard ones among them, and its map runs."""
        if self._listed_at is not None and now - self._listed_at < _MACHINES_EVERY:
            return
        found = {
            machine["stateMachineArn"]: machine
            for page in api.pages("list_state_machines", "stateMachines")
            for machine in page
            if self._is_wanted(machine["name"])
        }
        express = {arn for arn, machine in found.items() if machine.get("type") == "EXPRESS"}
        if express - self._express:
            log.info(
                "express state machines cannot be polled, only push their logs",
                extra={"names": sorted(found[arn]["name"] for arn in express)},
            )
        for arn in found.keys() - express - sources.keys():
            sources[arn] = Source(arn, False, self._began(found[arn], now))
        for arn in [arn for arn, source in sources.items() if not source.is_map_run]:
            if arn not in found:
                del sources[arn]
        self.arns, self._express = list(found), express
        self._listed_at = self.looked_at = now

    def _is_wanted(self, name: str) -> bool:
        config = self._config
        return any(fnmatchcase(name, glob) for glob in config.state_machines) and not any(
            fnmatchcase(name, glob) for glob in config.exclude
        )

    def _began(self, machine: Mapping[str, Any], now: datetime) -> datetime:
        """A state machine that was made after the last look has no executions from before anybody looked."""
        made_at = time_of(machine, "creationDate")
        is_new = made_at and self.looked_at and made_at >= self.looked_at
        return made_at if made_at and is_new else now


def list_executions(
    api: Api, source: Source, now: datetime, lookback: timedelta, room: int
) -> None:
    """Note what is running, and what is new since the last look. Raises what Api.call raises.

    1. What was open and is no longer listed as running has closed: its end is fetched.
    2. What nobody saw open must have started since the last look: the newest are listed until then.
    """
    by = {"mapRunArn" if source.is_map_run else "stateMachineArn": source.arn}
    if source.wants_running(now):
        room -= _note_running(api, source, by, room)
        source.running_at = now
    _note_newest(api, source, by, source.floor(now, lookback), room)
    source.looked_at = now
    source.forget_finished(now)


def _note_running(api: Api, source: Source, by: Mapping[str, str], room: int) -> int:
    running: set[str] = set()
    new = 0
    for page in api.pages("list_executions", "executions", statusFilter="RUNNING", **by):
        for item in page:
            running.add(item["executionArn"])
            # What does not fit now is listed again at the next look.
            if new < room and _has_history(item):
                new += source.note(item)
    for execution in source.unfinished.values():
        execution.is_closed = execution.arn not in running
    return new


def _note_newest(
    api: Api, source: Source, by: Mapping[str, str], floor: datetime, room: int
) -> None:
    for page in api.pages("list_executions", "executions", **by):
        for item in page:
            if (time_of(item, "startDate") or floor) < floor:
                return
            if room <= 0 and not source.knows(item):
                log.warning(
                    "executions close faster than they can be looked at: older ones are left out",
                    extra={"source": source.arn, "remembered_max": WATCHED_MAX},
                )
                return
            if _has_history(item):
                room -= source.note(item)


def _has_history(item: Mapping[str, Any]) -> bool:
    """The API has none of express executions, which a distributed Map may have as children."""
    return ":express:" not in item["executionArn"]
