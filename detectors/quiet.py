"""Which queues, downstreams, workers and steps may be silent, by a first look at them.

Nearly always none is, and to know that takes little: when something ended last, and how much is overdue. Only of the
others is it asked what is open and at what ages it should have ended.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import numpy as np

from detectors import budget
from detectors.calibration.hazards import Group, Liveness
from detectors.detector import Context, Row, folded_from
from detectors.silences import MEMBERS_MIN
from detectors.statistics.samples import Floats
from detectors.statistics.silence import EDGES_S, limits, loss_limit, may_be_degraded, most_ends
from stallwatch.model.ticks import Tick

LOOKED_S: Final = 130
"""One of EDGES_S: what ended before is not looked at."""
WORKERS_MAX: Final = 100
"""Of more workers than that none is judged by itself; their queues and steps are."""

NAMES: Final = (
    *("queues", "downstreams", "workers", "steps", "workflows"),
    *("queue_steps", "downstream_steps"),
)


def look_parameters(tick: Tick, context: Context) -> dict[str, Any]:
    """Of `dead_queue_look.sql`."""
    known = context.calibration.liveness
    # An array of nothing has no type.
    return {
        "until": tick.until,
        "edges_s": EDGES_S.tolist(),
        "looked_s": LOOKED_S,
        "looked_from": folded_from(tick, timedelta(seconds=LOOKED_S)),
        "steps": ["", *known.step_ripe_s],
        "step_ripe_s": [np.inf, *known.step_ripe_s.values()],
        "workflows": ["", *known.workflow_ripe_s],
        "workflow_ripe_s": [np.inf, *known.workflow_ripe_s.values()],
        "places": ["", *("\n".join(place) for place in known.overdue_s)],
        "overdue_s": [np.inf, *known.overdue_s.values()],
        "longest_s": [np.inf, *known.longest_s.values()],
        "replayed_s": float(EDGES_S[0]),
    }


def quiet(tick: Tick, rows: Sequence[Row], context: Context) -> list[Group]:
    """The groups that may be silent."""
    known = context.calibration.liveness
    looked = {_group(row): row for row in rows}
    if not any(row["ripe"] for row in rows):
        return []
    share = budget.share(context.config, "dead_queue")
    highest = limits(known.per_week, len(known.paces), share)
    last_at = [
        max(pace.last_at, looked[group]["closed_at"]) if group in looked else pace.last_at
        for group, pace in known.paces.items()
    ]
    closed_s = [max(0.0, (tick.until - at) / timedelta(seconds=1)) for at in last_at]
    could_stop = most_ends(known.peaks_per_s, np.array(closed_s)) >= highest
    is_fleet = sum(dimension == "worker" for dimension, *_ in known.paces) > WORKERS_MAX
    return [
        group
        for number, group in enumerate(known.paces)
        if not (is_fleet and group[0] == "worker")
        and (
            (
                could_stop[number]
                and _could_amount(group, looked, closed_s[number], float(highest[number]), known)
            )
            or _may_be_degraded(group, looked.get(group), loss_limit(float(highest[number])), known)
        )
    ]


def _group(row: Row) -> Group:
    return (row["dimension"], row["namespace"], row["engine"], row["place"], row["value"])


def _could_amount(
    group: Group, looked: Mapping[Group, Row], closed_s: float, highest: float, known: Liveness
) -> bool:
    """Whether enough is open in the group for Λ to reach the limit; what names no queue is at steps that usually do."""
    that_counts = "fresh" if closed_s <= EDGES_S[0] else "ripe"
    counted = (looked[one] for one in (group, *known.homes.get(group, ())) if one in looked)
    return bool(sum(row[that_counts] for row in counted) * known.most >= highest)


def _may_be_degraded(group: Group, row: Row | None, highest: float, known: Liveness) -> bool:
    if row is None or row["overdue"] < MEMBERS_MIN or row["fresh"] * known.most < highest:
        return False
    # What ended earlier is not known: there may have been less.
    closes: Floats = np.zeros(len(EDGES_S))
    for edge, ended in row["closes"].items():
        closes[edge] = ended
    return may_be_degraded(closes, float(row["overdue"]), known.paces[group].peak_per_s, highest)


def asked(groups: Iterable[Group], rows: Iterable[Row], known: Liveness) -> dict[str, list[str]]:
    """The names of these groups, and of the queues in which others wait, as parameters of `dead_queue.sql`."""
    waiting = {_group(row) for row in rows if row["waiting"]}
    names: defaultdict[str, set[str]] = defaultdict(set)
    for group in groups:
        dimension, _, _, workflow, value = group
        names[f"{dimension}s"].add(value)
        names["workflows"].add(workflow)
        # Whether what waits could be started is seen at its queue.
        if group in waiting:
            names["queues"].update(known.queues.get(group, ()))
    for group, steps in known.homes.items():
        if group[4] in names[f"{group[0]}s"]:
            names[f"{group[0]}_steps"].update(step for *_, step in steps)
    return {name: sorted(names[name]) for name in NAMES}
