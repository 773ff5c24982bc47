"""Where in the state machine each event is: the states that it is inside of, and how often each was tried.

Events form a tree by `previousEventId`. Where an event is follows from those before it on its way from the root, and
from nothing else; so it can be told when all of these are known, and never changes. There are no attempt numbers in a
history: an attempt is a repeated Scheduled (or Started, of Parallel and Map) under the same Entered.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

CONTAINERS: Final = ("Parallel", "Map")
_DEPTH_MAX: Final = 50
"""Of states in states: more than anybody writes. Each event has its place in memory, so it may not go on forever."""


class State(NamedTuple):
    """A state that was entered and not yet left. `is_open`: an attempt is under way; `failed`: the last one did."""

    entered: int
    name: str
    type: str
    attempt: int = 0
    is_open: bool = False
    is_started: bool = False
    failed: bool = False
    error: str = ""
    cause: str = ""
    inside: str = ""
    """Of a Parallel the branch, by the name of its first state; of a Map the index of the iteration."""
    waits_on: str = ""
    map_run: str = ""

    @property
    def is_container(self) -> bool:
        return self.type in CONTAINERS

    @property
    def may_fail(self) -> bool:
        """It was entered and nothing was said of its end."""
        return self.is_open or not self.failed


class Place(NamedTuple):
    """The states around an event, outermost first, and how often the execution was redriven before it."""

    states: tuple[State, ...] = ()
    redrives: int = 0

    def find(self, name: str) -> int | None:
        """The innermost state of this name."""
        return self._innermost(lambda state: state.name == name)

    def container(self, type_: str, name: str = "") -> int | None:
        """The innermost state of this type (and name)."""
        return self._innermost(lambda state: state.type == type_ and name in ("", state.name))

    def unfailed(self, type_: str) -> int | None:
        """The innermost state of this type that did not fail."""
        return self._innermost(lambda state: state.type == type_ and not state.failed)

    def worker(self) -> int | None:
        """The innermost state, if it is none that has states inside."""
        last = len(self.states) - 1
        return last if self.states and not self.states[last].is_container else None

    def left(self, index: int) -> "Place":
        """Outside of a state."""
        return self._replace(states=self.states[:index])

    def changed(self, index: int, **changes: Any) -> "Place":
        """In a state that changed, and in none inside of it."""
        return self._replace(states=(*self.states[:index], self.states[index]._replace(**changes)))

    def entered(self, state: State) -> "Place":
        """In a new state; what was not left properly before (as when a redrive enters it again) is left."""
        again = self.find(state.name)
        place = self if again is None else self.left(again)
        last = place.worker()
        if last is not None:
            place = place.left(last)
        place = place.left(_DEPTH_MAX - 1)
        if place.states and place.states[-1].type == "Parallel" and not place.states[-1].inside:
            place = place.changed(len(place.states) - 1, inside=state.name)
        return place._replace(states=(*place.states, state))

    def branch(self, index: int) -> str:
        """The branches and iterations that a state is in, dotted."""
        return ".".join(state.inside for state in self.states[:index])

    def _innermost(self, fits: Callable[[State], bool]) -> int | None:
        for index in range(len(self.states) - 1, -1, -1):
            if fits(self.states[index]):
                return index
        return None
