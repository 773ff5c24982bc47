"""What the collector answers when it does not take something, and the errors of its own.

InputError                the body is wrong: HTTP 400, INVALID_ARGUMENT, never sent again
├── TooLarge              beyond a configured limit: 413, RESOURCE_EXHAUSTED
├── Unsupported           a content type, encoding or charset that is not spoken: 415
├── TooSlow               the body did not arrive in time: 408, DEADLINE_EXCEEDED, and the connection is closed
└── Forbidden             not from where the sender is: 403, PERMISSION_DENIED
Transient                 the store is away: 503, UNAVAILABLE, with the time to wait
└── Busy                  memory is full, or a sender's rate used up: 429, RESOURCE_EXHAUSTED, with the time to wait
Permanent                 the store will never take it: 400, INVALID_ARGUMENT
"""

import math
from dataclasses import dataclass
from typing import Final

from stallwatch.errors import InputError, Permanent, StallwatchError, Transient

RETRY_AFTER_S: Final = 5.0
"""What a sender is told to wait when nobody knows better."""

# Numbers of google.rpc.Code.
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16


class TooLarge(InputError):
    """A body is larger than configured; the message names the limit."""


class Unsupported(InputError):
    """A content type, content encoding or charset that the collector does not read."""


class TooSlow(InputError):
    """A body that holds memory and does not arrive."""


class Unauthorized(InputError):
    """The sender has no token, or one that is not known."""


class Forbidden(InputError):
    """The sender may not do this from where it is."""


class Busy(Transient):
    """Too much is waiting to be committed: send again later."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an error is told: `retry_after_s` is None when sending again is useless."""

    http_status: int
    code: int
    message: str
    retry_after_s: float | None = None
    ends_connection: bool = False

    @property
    def retry_after(self) -> str:
        """The value of a Retry-After header: whole seconds, at least one."""
        return str(max(1, math.ceil(self.retry_after_s or 0)))


def refusal_of(error: StallwatchError) -> Refusal:
    """Translate an error of this tree for senders over HTTP and gRPC."""
    message = str(error)
    match error:
        case TooLarge():
            return Refusal(413, RESOURCE_EXHAUSTED, message)
        case Unsupported():
            return Refusal(415, INVALID_ARGUMENT, message)
        case TooSlow():
            return Refusal(408, DEADLINE_EXCEEDED, message, ends_connection=True)
        case Unauthorized():
            return Refusal(401, UNAUTHENTICATED, message)
        case Forbidden():
            return Refusal(403, PERMISSION_DENIED, message)
        case InputError() | Permanent():
            return Refusal(400, INVALID_ARGUMENT, message)
        case Busy():
            return Refusal(429, RESOURCE_EXHAUSTED, message, error.retry_after_s or RETRY_AFTER_S)
        case Transient():
            return Refusal(503, UNAVAILABLE, message, error.retry_after_s or RETRY_AFTER_S)
        case _:
            return Refusal(500, INTERNAL, message)
