"""The half-open interval that a detector looks at."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Tick:
    """`[since, until)`: judged as of `until`, from what was received before it.

    `epoch` is when this brain began to watch: what happened before is context, never news.
    """

    since: datetime
    until: datetime
    epoch: datetime

    def __post_init__(self) -> None:
        if not self.since <= self.until:
            raise ValueError(f"a tick cannot end ({self.until}) before it begins ({self.since})")
