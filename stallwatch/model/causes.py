"""What findings have in common that the rest has not: the detectors find it, the alerts group by it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

EVIDENCE: Final = "cause"
"""The name under which a finding's evidence has it."""

DIMENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "step": ("namespace", "engine", "workflow", "step"),
    "downstream": ("downstream",),
    "queue": ("namespace", "engine", "queue"),
    "worker": ("namespace", "engine", "worker"),
    "version": ("namespace", "engine", "workflow", "workflow_version"),
    "region": ("region",),
    "workflow": ("namespace", "engine", "workflow"),
    "engine": ("engine",),
    "namespace": ("namespace",),
}
"""By dimension the columns of an attempt that make one of its values; a queue of one engine is not that of another, a
downstream is the same for all. Of values that cannot be told apart the first one claims least."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One value of one dimension, and how well it explains a finding.

    `value` names it, within `namespace`, `engine` and `workflow` where these are part of it. `share` of the finding's
    affected attempts have it. Of its attempts, open or of the last minutes, the share `inside` is affected, of all
    others the share `outside`. `score`: how much likelier that makes it than chance, nats. `also`: what has exactly the
    same attempts, so that nobody can tell which it is.
    """

    dimension: str
    value: str
    namespace: str = ""
    engine: str = ""
    workflow: str = ""
    share: float = 0.0
    inside: float = 0.0
    outside: float = 0.0
    score: float = 0.0
    also: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it this cause and no other."""
        return (self.dimension, self.value, self.namespace, self.engine, self.workflow)

    @property
    def words(self) -> str:
        """`downstream stripe`, `version 1.5 of order`."""
        return words_of(self.dimension, self.value, self.workflow)

    def as_evidence(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def words_of(dimension: str, value: str, workflow: str = "") -> str:
    """The cause as a person would name it."""
    named = f"{dimension} {value}"
    return f"{named} of {workflow}" if workflow else named


def cause_of(evidence: Mapping[str, Any]) -> Cause | None:
    """The cause in a finding's evidence; None where it has none, or something else of that name."""
    try:
        return msgspec.convert(evidence.get(EVIDENCE), Cause)
    except msgspec.ValidationError:
        return None
