"""The lease rows of a store on a server: one process holds a role, and others can read which.

Nothing there compares and sets. Instead each process writes that it is there, then reads who has been there longest:
of two that begin at once the later one finds the earlier, at the latest when it looks again.
"""

from typing import Final, NamedTuple

from stallwatch.store.engine import Engine

HELD_S: Final = 45
"""So long after it was renewed last a lease is free."""
_FRESH: Final = f"renewed_at > now64(6) - INTERVAL {HELD_S} SECOND AND NOT given_back"
_RENEW: Final = f"""INSERT INTO lease
SELECT {{role:String}}, {{holder:String}}, {{host:String}}, {{pid:UInt32}},
    if(countIf({_FRESH}) > 0, max(since), now64(6)), now64(6), false
FROM (SELECT * FROM lease FINAL WHERE role = {{role:String}} AND holder = {{holder:String}})"""
_GIVE_BACK: Final = """INSERT INTO lease
SELECT * REPLACE (now64(6) AS renewed_at, true AS given_back) FROM lease FINAL
WHERE role = {role:String} AND holder = {holder:String}"""
_HOLDER: Final = f"""SELECT holder AS id, host, pid, dateDiff('second', renewed_at, now64(6)) AS renewed_s_ago
FROM lease FINAL
WHERE role = {{role:String}} AND {_FRESH}
ORDER BY since, holder LIMIT 1"""


class Holder(NamedTuple):
    """Who holds a role."""

    id: str
    host: str
    pid: int
    renewed_s_ago: int
    """By the server's clock."""


def renew(engine: Engine, role: str, wanting: Holder) -> Holder:
    """Say that `wanting` wants the role or goes on with it; who holds it now.

    Raises StoreUnavailable and StoreRefused.
    """
    engine.command(
        _RENEW,
        {"role": role, "holder": wanting.id, "host": wanting.host, "pid": wanting.pid},
    )
    return holder_of(engine, role) or wanting


def give_back(engine: Engine, role: str, holder: str) -> None:
    """Let others have the role at once. Raises StoreUnavailable and StoreRefused."""
    engine.command(_GIVE_BACK, {"role": role, "holder": holder})


def holder_of(engine: Engine, role: str) -> Holder | None:
    """Who holds a role, if somebody does. Raises StoreUnavailable and StoreRefused."""
    return next((Holder(**row) for row in engine.rows(_HOLDER, {"role": role})), None)
