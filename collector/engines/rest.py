"""Asking a REST API: what goes wrong is Transient or Permanent, in plain words and without what is secret."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from stallwatch.errors import ConfigError, Permanent, StallwatchError, Transient

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
_SAID_MAX: Final = 300
_TRY_LATER: Final = frozenset({408, 425, 429})
_WHO: Final = frozenset({401, 403})


class Refused(Permanent):
    """The server answered with a status that says no."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Unknown(Refused):
    """404: there is no such thing."""


class Rest:
    """One server. Redirects are not followed: they would carry the credentials elsewhere."""

    def __init__(self, name: str, url: str, timeout_s: float, ca_file: Path | None = None) -> None:
        """`name` is the server's in messages, `url` what stands before every path; certificates of `ca_file` are
        trusted besides the usual ones. ConfigError if they cannot be read.
        """
        trusted = ssl.create_default_context()
        if ca_file is not None:
            try:
                trusted.load_verify_locations(ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"ca_file: {ca_file} cannot be read: {error}") from None
        self._name = name
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/",
            timeout=timeout_s,
            verify=trusted,
            headers={"accept": "application/json", "user-agent": "stallwatch"},
        )

    def authorize(self, authorization: str) -> None:
        """What is said in the header of this name from now on."""
        self._client.headers["authorization"] = authorization

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer. Raises Transient and Permanent."""
        return self._asked("GET", path, params=parameters)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The decoded answer. Raises Transient and Permanent."""
        return self._asked("POST", path, json=body)

    def close(self) -> None:
        self._client.close()

    def _asked(self, method: str, path: str, **more: Any) -> Any:
        try:
            with self._client.stream(method, path.lstrip("/"), **more) as answer:
                body = self._read(answer)
                if not answer.is_success:
                    raise self._refusal(answer, path, body)
                return msgspec.json.decode(body)
        except httpx.TimeoutException:
            raise Transient(f"{self._name} did not answer in time ({path})") from None
        except httpx.InvalidURL as error:
            raise Permanent(f"{self._name}: the URL is none: {error}") from None
        except httpx.HTTPError as error:
            raise Transient(f"{self._name} cannot be reached: {error}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Permanent(
                f"{self._name} answered {path} with something that is no JSON"
            ) from None

    def _read(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise Permanent(f"{self._name} answered with more than {ANSWER_BYTES_MAX} bytes")
        return bytes(body)

    def _refusal(self, answer: httpx.Response, path: str, body: bytes) -> StallwatchError:
        code = answer.status_code
        if code in _TRY_LATER or code >= 500:
            after = _retry_after_s(answer.headers)
            return Transient(f"{self._name} answered {path} with {code}", after)
        if code in _WHO:
            who = "does not know these credentials" if code == 401 else "does not allow this"
            return Refused(f"{self._name} {who}: {path} was answered with {code}", code)
        if answer.is_redirect:
            there = httpx.URL(answer.headers.get("location", "")).copy_with(query=None)
            return Permanent(
                f"{self._name} says {path} is elsewhere ({there}): set that as the url"
            )
        said = body[:_SAID_MAX].decode("utf-8", "replace")
        kind = Unknown if code == 404 else Refused
        return kind(f"{self._name} answered {path} with {code}: {said}", code)


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """The wish in `Retry-After`: seconds, or a date beside the one of the answer."""
    text = headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        wished, said = (parsedate_to_datetime(one) for one in (text, headers.get("date", "")))
    except (TypeError, ValueError):
        return None
    return max(0.0, (_aware(wished) - _aware(said)).total_seconds())


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
