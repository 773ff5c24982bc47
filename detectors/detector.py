"""What a detector is: one `.sql` that selects and one `.py` of the same name that judges."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal

from detectors.calibration import Calibration
from detectors.listening import Spell
from detectors.looks import POLLER, known_until
from detectors.sql import sql_text
from stallwatch.config import DetectorsConfig
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

Row = Mapping[str, Any]
"""One row of a detector's statement, by column name; times are aware UTC."""
ExecutionKey = tuple[str, str, str]
"""namespace, engine, execution id"""
Place = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""
Sign = Literal[
    "failed", "given_up", "timed_out", "retried", "again", "branched", "execution_failed", "gap"
]
"""What rows may bear that a detector looks for: see `signs.sql`."""

ASKED_NO_MORE: Final = timedelta(hours=1)
"""An engine that has not answered for so long is judged by what else tells of it."""
CLOCKS_AHEAD: Final = timedelta(minutes=10)
"""A sender's clock may run ahead: then its events are received before they happen."""


@dataclass(frozen=True)
class Context:
    """What a detector knows beside its rows.

    `explained`: executions whose trouble a deeper finding tells already; `flooded`: workflows (namespace, engine,
    workflow) in which that holds for more executions than can be named. `waiting_steps`: steps in
    executions that only wait for what a deeper finding tells. `silent_senders`: whose
    data has stopped, so that what they last said may be long over. `looks`: when engines that are
    asked were last looked at, by the sender that asks. `unheard`: when nobody listened.
    """

    config: DetectorsConfig
    calibration: Calibration
    explained: frozenset[ExecutionKey] = frozenset()
    flooded: frozenset[tuple[str, str, str]] = frozenset()
    waiting_steps: frozenset[tuple[ExecutionKey, str]] = frozenset()
    silent_senders: frozenset[str] = frozenset()
    looks: Mapping[str, datetime] = field(default_factory=dict)
    unheard: tuple[Spell, ...] = ()

    def enabled(self, place: Place) -> bool:
        """Whether a policy leaves this place to be judged."""
        return self.config.policy_for("enabled", *place) is not False

    def waits(self, place: Place) -> bool:
        """Whether a policy or the configured definition says that this step, though nothing labels it, waits for
        someone or something."""
        declared = self.calibration.declared.of(place, "")
        return self.config.policy_for("waiting_on", *place) is not None or "waiting_on" in declared

    def limited(self, row: Row) -> Row:
        """The row of an attempt or execution with the limits that its definition declares where it declares none
        itself; `limits_from` then has the definitions' sources by the names of these limits."""
        place = (row["namespace"], row["engine"], row["workflow"], row.get("step", ""))
        declared = self.calibration.declared.of(place, row["workflow_version"])
        missing = {k: said for k, said in declared.items() if k in row and row[k] is None}
        if not missing:
            return row
        values = {name: said.value for name, said in missing.items()}
        return {**row, **values, "limits_from": {name: one.source for name, one in missing.items()}}

    def as_of(self, tick: Tick, row: Row) -> datetime:
        """Until when the row's sender would have told an end: what is open is as old as it was then."""
        return known_until(row["sender"], tick.until, self.looks)

    def as_of_engine(self, tick: Tick, row: Row) -> datetime:
        """The same where the row's engine is asked, whoever told of the row last: spans do not say that an execution
        waits, only asking shows it."""
        asked_at = self.looks.get(POLLER + row["engine"])
        until = self.as_of(tick, row)
        if asked_at is None or asked_at < tick.until - ASKED_NO_MORE:
            return until
        return min(until, asked_at)

    def away(self, since: datetime, until: datetime) -> timedelta:
        """For how long between two times nobody listened: what did not arrive then is not lost."""
        spells = (
            min(ended_at, until) - max(began_at, since) for began_at, ended_at in self.unheard
        )
        return sum((one for one in spells if one > timedelta(0)), timedelta(0))

    def severity(self, place: Place, default: Severity) -> Severity:
        """The severity that a policy sets for this place, else `default`."""
        said = self.config.policy_for("severity", *place)
        return default if said is None else Severity(said)


Judge = Callable[[Tick, Sequence[Row], Context], list[Observation]]
Parameters = Callable[[Tick, Context], dict[str, Any]]
Narrow = Callable[[Tick, Sequence[Row], Context], dict[str, Any] | None]


def until_only(tick: Tick, context: Context) -> dict[str, Any]:
    """The parameters of a statement that needs nothing but the time."""
    return {"until": tick.until}


@dataclass(frozen=True)
class Detector:
    """`judge` is pure. `every_s` is how often it should be asked; `absorbed_by` names the detectors
    whose findings explain this one's, which are judged before it; `waits_for` those whose findings explain
    only the steps that wait for them. `narrow`: where a first, cheap look (`<id>_look.sql`, with `parameters`) says
    what is to be asked, from its rows the parameters of the statement; None: nothing is. `idles`: where `<id>_any.sql`
    finds nothing, there is nothing to say. `needs`: signs (`signs.sql`) of which one must be there, folded since the
    parameter `folded_from`, for its statement to find anything."""

    id: str
    every_s: float
    judge: Judge
    parameters: Parameters = until_only
    absorbed_by: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    narrow: Narrow | None = None
    idles: bool = False
    needs: tuple[Sign, ...] = ()

    @cached_property
    def sql(self) -> str:
        """The statement in the `.sql` file beside the judge."""
        return sql_text(self.id)

    @cached_property
    def any_sql(self) -> str:
        """The statement that finds something where there is anything to look at."""
        return sql_text(f"{self.id}_any")

    @cached_property
    def look_sql(self) -> str:
        """The statement of the first look."""
        return sql_text(f"{self.id}_look")


def point_window(tick: Tick, context: Context) -> dict[str, datetime]:
    """`from` and `until` of what a point finding may be about: received in the last
    `point_finding_ttl`, and never before the watch began."""
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    return {"from": max(tick.until - ttl, tick.epoch), "until": tick.until, "epoch": tick.epoch}


def folded_from(tick: Tick, window: timedelta) -> int:
    """The `folded` (µs) of the rows that may tell of the `window` before the tick's end: what was folded before it
    has not changed since."""
    return max(0, int((tick.until - window - CLOCKS_AHEAD).timestamp() * 1e6))


def execution_key(row: Row) -> ExecutionKey:
    return (row["namespace"], row["engine"], row["execution_id"])


def place_of(row: Row) -> Place:
    return (row["namespace"], row["engine"], row["workflow"], row["step"])


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    """Rows by the values of some columns, in the order in which they come."""
    groups: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def executions_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Each execution id once, in the order of the rows."""
    return tuple(dict.fromkeys(row["execution_id"] for row in rows))


def split_by_silence(rows: Sequence[Row], context: Context) -> tuple[Sequence[Row], str]:
    """The rows that a sender still heard stands for; where there are none, all of them and the name
    of a silent sender."""
    heard = [row for row in rows if row["sender"] not in context.silent_senders]
    if heard or not rows:
        return heard, ""
    return rows, str(rows[0]["sender"])
