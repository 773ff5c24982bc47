"""When nobody listened: no collector ran, and what senders said then was heard by none."""

from datetime import datetime, timedelta
from typing import Final

from stallwatch.store import Store

Spell = tuple[datetime, datetime]
"""From when until when."""

_REACH: Final = timedelta(days=7)
"""As far back as senders' habits are learned."""
_SQL: Final = """SELECT DISTINCT began_at, ended_at FROM away_log
WHERE ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')} ORDER BY began_at, ended_at"""


def when_nobody_listened(store: Store, until: datetime) -> tuple[Spell, ...]:
    """The spells of the last week that were over by `until`, in their order."""
    rows = store.select(_SQL, {"from": until - _REACH, "until": until})
    return tuple((row["began_at"], row["ended_at"]) for row in rows)
