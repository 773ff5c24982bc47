"""Which definitions have to be read: of state machines now and then, of a version once."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from stallwatch.model.events import EARLIEST

_EVERY: Final = timedelta(minutes=15)


class Definitions:
    """What was read: when, and which revision. ARNs of state machines and of their versions."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[datetime, str]] = {}

    def due(self, machines: Iterable[str], versions: Iterable[str], now: datetime) -> list[str]:
        """What may have changed, the longest ago first. A version never changes."""
        last = {arn: self._read_at(arn) for arn in {*machines, *versions}}
        fixed = set(versions)
        due = [
            arn
            for arn, at in last.items()
            if at == EARLIEST or (arn not in fixed and now - at >= _EVERY)
        ]
        return sorted(due, key=lambda arn: (last[arn], arn))

    def is_new(self, arn: str, answer: dict[str, Any], now: datetime) -> bool:
        """Note an answer of DescribeStateMachine; whether it says something else than the one before."""
        _, before = self._read.get(arn, (now, ""))
        definition = answer.get("definition", "")
        revision = str(answer.get("revisionId") or (definition and hash(definition)))
        self._read[arn] = (now, revision)
        return bool(revision) and revision != before

    def _read_at(self, arn: str) -> datetime:
        at, _ = self._read.get(arn, (EARLIEST, ""))
        return at
