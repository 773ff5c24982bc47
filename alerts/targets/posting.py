"""One POST of JSON, over within one deadline: to connect, to send, and to read the answer.

The timeouts of HTTP libraries are for each read: an answer of one byte a second would hold a target's thread for ever.
asyncio can give up at any moment, so the exchange runs on it; what a library does in its own way is given a thread,
which is left alone when its time is over.
"""

import asyncio
import json
import logging
import ssl
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from stallwatch.errors import Permanent, Transient

ANSWER_BYTES_MAX: Final = 64 * 1024
SAID_MAX: Final = 200
T = TypeVar("T")

# httpx writes whole addresses at INFO; some are secrets.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the other side answered; `text` is cut where it is too long or too slow."""

    status: int
    headers: Mapping[str, str]
    text: str
    said: str
    """The beginning of the text, for people: without the address and the secrets, which servers like to repeat."""

    def fields(self) -> dict[str, Any]:
        """The JSON object that the text is; empty when it is none."""
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def post(
    name: str,
    url: str,
    body: Mapping[str, Any],
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    secrets: Collection[str] = (),
) -> Answer:
    """The answer, whatever its status; redirects are not followed. `name` is the other side's in messages.

    Raises Transient when nothing was answered in time, and Permanent when `url` is no web address. Neither tells the
    address or `secrets`.
    """
    checked(name, url)
    try:
        answer, text = asyncio.run(_exchange(url, body, headers, timeout_s))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Permanent(f"the address of {name} is no web address") from None
    except httpx.HTTPError as error:
        raise Transient(f"{name} did not answer: {type(error).__name__}") from error
    except TimeoutError as error:
        raise Transient(f"{name} did not answer within {timeout_s:g} s") from error
    return answer_of(answer.status_code, answer.headers, text, url, secrets)


def within(name: str, timeout_s: float, work: Callable[[], T]) -> T:
    """What the work returns or raises; Transient when that takes longer. Then it goes on in a thread of its own, which
    does not keep the process alive, until the other side gives up."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name=f"{name} within {timeout_s:g} s", daemon=True).start()
    wait([done], timeout_s)
    if not done.done():
        raise Transient(f"{name} did not answer within {timeout_s:g} s")
    return done.result()


def checked(name: str, url: str) -> str:
    """The address; Permanent when none can be made of it."""
    if any(character.isspace() for character in url):
        raise Permanent(f"the address of {name} has a blank in it")
    return url


def answer_of(
    status: int, headers: Mapping[str, str], text: str, url: str, secrets: Collection[str] = ()
) -> Answer:
    """An answer that `url` gave, to be told without the address and the secrets."""
    address = httpx.URL(url)
    hidden = (*secrets, url, address.raw_path.decode(), address.path, address.query.decode())
    return Answer(status=status, headers=headers, text=text, said=readable(text, hidden))


def readable(text: str, secrets: Collection[str]) -> str:
    """The beginning of a text, without these."""
    for secret in secrets:
        if len(secret) > 1:
            text = text.replace(secret, "…")
    return text[:SAID_MAX].strip()


def bearer(key: str, token: str) -> dict[str, str]:
    """The header that shows a token, which is the setting `key`. Raises Permanent when no header can carry it."""
    if not token or not token.isascii() or not token.isprintable() or token != token.strip():
        raise Permanent(
            f"{key} cannot be sent: it is empty or has a line break, a blank at an end or a character beyond ASCII"
        )
    return {"Authorization": f"Bearer {token}"}


async def _exchange(
    url: str, body: Mapping[str, Any], headers: Mapping[str, str], timeout_s: float
) -> tuple[httpx.Response, str]:
    """TimeoutError only if no status came: an answer whose end does not come has been given."""
    answer: httpx.Response | None = None
    text = bytearray()
    # Uncompressed, for what is read is limited before it would be unpacked.
    headers = {"Accept-Encoding": "identity", **headers}
    trusted = ssl.create_default_context()
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(timeout=None, verify=trusted) as client,
            client.stream("POST", url, json=body, headers=headers) as answer,
        ):
            async for chunk in answer.aiter_raw():
                text += chunk
                if len(text) >= ANSWER_BYTES_MAX:
                    break
    except TimeoutError:
        if answer is None:
            raise
    return answer, text[:ANSWER_BYTES_MAX].decode("utf-8", "replace")
