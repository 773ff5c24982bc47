"""Python's pickles, looked at and never run: which classes were called with which plain values.

DBOS keeps what a step returned or raised as a pickle in base64 (`py_pickle`). To load one would run whatever code it
names; here its instructions are only read (`pickletools`), and what they would build is described.
"""

import base64
import binascii
import pickletools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

INSTRUCTIONS_MAX: Final = 20_000
"""Instructions of one pickle; an error has tens."""
_PUSHES: Final = ("STRING", "UNICODE", "INT", "LONG", "FLOAT", "BYTES")
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class Global(NamedTuple):
    """A class or a function, by its name."""

    module: str
    name: str


class Called(NamedTuple):
    """What calling a class or function with these values would give."""

    what: Any
    arguments: tuple[Any, ...]


class _Mark:
    """Where the values of the next collection begin."""


def described(encoded: str) -> Any:
    """The value that a pickle in base64 stands for, with `Called` in place of objects; None if it cannot be told."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    machine = _Machine()
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                return machine.stack[-1]
            if number == INSTRUCTIONS_MAX:
                return None
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError):
        # Cut short, or none that a pickler wrote.
        return None
    return None


class _Machine:
    """The stack and the memory of the pickle machine, without anything that would run code."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._actions: dict[str, Callable[[Any], object]] = {
            "MARK": lambda _: self.stack.append(_Mark()),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_SET": lambda _: self.stack.append([]),
            "TUPLE1": lambda _: self.stack.append(self._taken(1)),
            "TUPLE2": lambda _: self.stack.append(self._taken(2)),
            "TUPLE3": lambda _: self.stack.append(self._taken(3)),
            "TUPLE": lambda _: self.stack.append(self._since_mark()),
            "APPEND": lambda _: self._extend(self._taken(1)),
            "APPENDS": lambda _: self._extend(self._since_mark()),
            "ADDITEMS": lambda _: self._extend(self._since_mark()),
            "SETITEM": lambda _: self._taken(2),
            "SETITEMS": lambda _: self._since_mark(),
            "BUILD": lambda _: self._taken(1),
            "POP": lambda _: self._taken(1),
            "GLOBAL": lambda text: self.stack.append(Global(*str(text).split(" ", 1))),
            "STACK_GLOBAL": lambda _: self.stack.append(Global(*map(str, self._taken(2)))),
            "REDUCE": lambda _: self._call(),
            "NEWOBJ": lambda _: self._call(),
            "MEMOIZE": lambda _: self._remember(len(self._memory)),
            "BINPUT": self._remember,
            "LONG_BINPUT": self._remember,
            "BINGET": lambda key: self.stack.append(self._memory[key]),
            "LONG_BINGET": lambda key: self.stack.append(self._memory[key]),
        }

    def step(self, name: str, argument: Any) -> None:
        if name in self._actions:
            self._actions[name](argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif any(kind in name for kind in _PUSHES):
            self.stack.append(argument)
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"{name} is not understood")

    def _taken(self, count: int) -> tuple[Any, ...]:
        if count > len(self.stack):
            raise IndexError("nothing left")
        taken = tuple(self.stack[-count:])
        del self.stack[-count:]
        return taken

    def _since_mark(self) -> tuple[Any, ...]:
        at = max(index for index, value in enumerate(self.stack) if isinstance(value, _Mark))
        values = tuple(self.stack[at + 1 :])
        del self.stack[at:]
        return values

    def _extend(self, values: tuple[Any, ...]) -> None:
        self.stack[-1].extend(values)

    def _call(self) -> None:
        what, arguments = self._taken(2)
        self.stack.append(Called(what, tuple(arguments)))

    def _remember(self, key: int) -> None:
        self._memory[key] = self.stack[-1]
