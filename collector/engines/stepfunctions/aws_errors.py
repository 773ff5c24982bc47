"""Errors of AWS's API to those of Stallwatch, in plain words.

Transient
└── Faulty      AWS failed at answering: it may have to do with what was asked
Permanent
├── Forbidden   the policy does not allow it for this resource: others may work
└── Gone        there is no such thing (any more), or it cannot be asked this
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from stallwatch.errors import Permanent, StallwatchError, Transient

_THROTTLES: Final = frozenset(
    {
        "KmsThrottlingException", "LimitExceededException", "RequestLimitExceeded",
        "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequests",
        "TooManyRequestsException",
    }
)  # fmt: skip
_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
        "IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId",
        "InvalidSignatureException", "MissingAuthenticationToken",
        "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired", "RequestExpired",
        "SignatureDoesNotMatch", "UnrecognizedClientException",
    }
)  # fmt: skip
_FORBIDDEN: Final = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "KmsAccessDeniedException",
        "KmsInvalidStateException",
    }
)  # fmt: skip
_GONE: Final = frozenset(
    {
        "ExecutionDoesNotExist", "InvalidArn", "ResourceNotFound", "StateMachineDoesNotExist",
        "StateMachineTypeNotSupported", "ValidationException",
    }
)  # fmt: skip
THROTTLED_WAIT_S: Final = 15.0
"""How long to leave AWS alone when it throttles and does not say for how long."""
_MESSAGE_MAX: Final = 300


class Faulty(Transient):
    """AWS answered that it failed, after it was asked a few times."""


class Forbidden(Permanent):
    """The policy does not allow the action, or not on this resource."""


class Gone(Permanent):
    """What was asked about does not exist, or not any more, or cannot be asked this."""


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Errors of botocore as Transient, Permanent and those above."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _answered(error.response, error.operation_name) from None
    except (ConnectionError, HTTPClientError) as error:
        raise Transient(f"Step Functions does not answer {action}: {error}") from None
    except ResponseParserError:
        raise Transient(f"what answers {action} at that endpoint is not AWS") from None
    except BotoCoreError as error:
        # No credentials, half of them, a login that expired, a parameter that AWS does not take.
        raise Permanent(f"Step Functions cannot be asked: {error}") from None


def _answered(response: Mapping[str, Any], operation: str) -> StallwatchError:
    """What an answer with an error in it means."""
    problem = response.get("Error", {})
    code, message = str(problem.get("Code", "")), str(problem.get("Message", ""))[:_MESSAGE_MAX]
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    if code in _THROTTLES or status == 429:
        wait_s = _seconds(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
        return Transient(f"AWS throttles {operation}: ask less with max_calls_per_s", wait_s)
    if code in _CREDENTIALS or (operation == "AssumeRole" and code in _FORBIDDEN):
        return Permanent(f"AWS does not accept the credentials for {operation}: {code}: {message}")
    if code in _FORBIDDEN:
        return Forbidden(f"the credentials do not allow states:{operation}: {message}")
    if code in _GONE:
        return Gone(f"{operation}: {code}: {message}")
    if status >= 500:
        return Faulty(f"AWS cannot answer {operation} now: {code or status}")
    return Permanent(f"AWS refuses {operation}: {code}: {message}")


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else THROTTLED_WAIT_S
