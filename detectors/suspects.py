"""Which rows may be late: limits by place that go into a statement, so that what is young never leaves the store.

A statement looks limits up by a hash of the place. They may be lower than what the judge holds rows against, never
higher.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from detectors.calibration import Calibration
from detectors.detector import Context, Place, Row

NEVER_S: Final = 1e15
"""Longer than anything lasts: the limit of a place that has none."""
ROWS_PER_PLACE: Final = 2_000
ROWS_MAX: Final = 20_000
"""So many of the oldest rows come of one place, and of all together; how many there are stands in `suspects`."""
ROWS: Final = {"rows_per_place": ROWS_PER_PLACE, "rows_max": ROWS_MAX}
_LIMITS: Final = ("timeout_s", "heartbeat_timeout_s", "schedule_to_close_timeout_s")
_NOWHERE: Final = ("", "", "", "")


def step_limits(context: Context) -> dict[str, Any]:
    """Parameters `places`, `silence_s` (how long something may be silent there) and `age_s` (how old it may be)."""
    silence_s = context.calibration.least_limits_s
    declared_s = dict(_declared_s(context.calibration))
    places = sorted(silence_s.keys() | declared_s.keys()) or [_NOWHERE]
    return {
        "places": places,
        "silence_s": [min(silence_s.get(p, NEVER_S), declared_s.get(p, NEVER_S)) for p in places],
        "age_s": [declared_s.get(place, NEVER_S) for place in places],
        **ROWS,
    }


def limits(limits_s: Mapping[tuple[str, ...], float]) -> dict[str, Any]:
    """Parameters `places` and `limits_s`, by namespace, engine, workflow (and step)."""
    known = limits_s or {_NOWHERE: NEVER_S}
    places = [(*place, "")[:4] for place in known]
    return {"places": places, "limits_s": list(known.values()), **ROWS}


def came(rows: Iterable[Row]) -> Counter[Place]:
    """How many rows of each place a statement brought, those included that something else explains."""
    return Counter(
        (row["namespace"], row["engine"], row["workflow"], row.get("step", "")) for row in rows
    )


def beyond(rows: Iterable[Row], judged_late: int, came: int) -> int:
    """How many of the same place stay in the store because they are too many: they are younger than those that came,
    so they count as late where all of those are that were judged (`rows`)."""
    rows = list(rows)
    if not rows or judged_late < len(rows):
        return 0
    return max(0, int(rows[0].get("suspects", 0)) - came)


def _declared_s(calibration: Calibration) -> Iterable[tuple[Place, float]]:
    """The least limit that any definition declares, by place."""
    for place, versions in calibration.declared.steps.items():
        said = [
            float(one[name].value)
            for one in versions.values()
            for name in _LIMITS
            if name in one and one[name].value
        ]
        if said:
            yield place, min(said)
