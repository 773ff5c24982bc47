"""When engines that are asked were last looked at: an attempt is not late because its poller is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from detectors.sql import sql_text
from stallwatch.store import Store

POLLER: Final = "poll:"
"""Senders whose name begins so ask; all others are told."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_SQL: Final = sql_text("looks")


def last_looks(store: Store, until: datetime) -> dict[str, datetime]:
    """By sender, the beginning of its last look that was over by `until`."""
    rows = store.select(_SQL, {"prefix": POLLER, "until": until})
    return {row["sender"]: row["looked_at"] for row in rows}


def known_until(sender: str, until: datetime, looks: Mapping[str, datetime]) -> datetime:
    """Until when what a sender does not tell has not happened: the end of the tick, for one that asks its last look."""
    if not sender.startswith(POLLER):
        return until
    return min(until, looks.get(sender, _NEVER))
