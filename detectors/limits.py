"""What engines refuse: state that is too large, histories that are too long. By engine; others have no such limit."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

PAYLOAD_LIMIT_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"stepfunctions": 256 * _KIB, "temporal": 2 * _MIB}
)
"""Input or output of a state; a blob of the history."""
PAYLOAD_NEAR: Final = 0.8
"""The share of the limit from which on it is near."""

HISTORY_LIMIT_EVENTS: Final[Mapping[str, int]] = MappingProxyType(
    {"stepfunctions": 25_000, "temporal": 51_200}
)
HISTORY_LIMIT_BYTES: Final[Mapping[str, int]] = MappingProxyType({"temporal": 50 * _MIB})
HISTORY_NEAR: Final = 0.5
