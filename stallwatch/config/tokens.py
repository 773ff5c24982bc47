"""Bearer tokens: made once, kept as hashes in a TOML file, read again when the file changed.

A token is 256 random bits, so nobody can try them all, and a plain SHA-256 keeps it as well as a slow hash would: slow
hashes are for what people can remember. Presented tokens are looked up by their hash: how long that takes tells only
about the hash, from which the token cannot be worked out.
"""

import base64
import hashlib
import logging
import re
import secrets
import threading
import tomllib
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from stallwatch.clock import Clock
from stallwatch.errors import ConfigError, UsageError

PREFIX: Final = "swt_"
"""Begins every token, so that people and secret scanners know one when they see it."""
LOOK_S: Final = 2.0
"""How long a changed file may go unnoticed."""
FILE_MODE: Final = 0o600
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_BLOCK: Final = re.compile(r"^(?=[ \t]*\[\[[ \t]*token[ \t]*\]\])", re.MULTILINE)
_HEAD: Final = """# Who may speak to Stallwatch. `stallwatch token add NAME` adds a token and shows it once;
# here is only its hash.
"""
_log = logging.getLogger(__name__)


def _named(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("letters, digits, dot, dash and underscore, at most 100")
    return value


def _hashed(value: str) -> str:
    if not _HASH.fullmatch(value):
        raise ValueError("write sha256: and 64 hex digits, as `stallwatch token add` does")
    return value


class Token(BaseModel):
    """One sender's token. Rates of 0 mean no limit; an empty namespace leaves it to the events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_named)]
    hash: Annotated[str, AfterValidator(_hashed)]
    namespace: Annotated[str, Field(max_length=200)] = ""
    items_per_second: Annotated[int, Field(ge=0, le=2**53)] = 0
    bytes_per_second: Annotated[int, Field(ge=0, le=2**53)] = 0


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    token: tuple[Token, ...] = ()


def new_token() -> str:
    """A token that nobody has: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """How a token is kept."""
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def token_in(authorization: str | None) -> str | None:
    """The token in an Authorization header: of the scheme Bearer, or the password of Basic (whoever the user is)."""
    scheme, _, rest = (authorization or "").strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip() or None
        case "basic":
            try:
                pair = base64.b64decode(rest.strip(), validate=True).decode("utf-8", "replace")
            except ValueError:
                return None
            return pair.partition(":")[2] or None
        case _:
            return None


def parse_tokens(text: str, origin: str) -> tuple[Token, ...]:
    """The tokens of a file's text. Raises ConfigError that names the line or the token and the key."""
    try:
        content = _Content.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: {error}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "there is no such key"
        raise ConfigError(f"{origin}: {key}: {message}") from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits; nested too deeply.
        raise ConfigError(f"{origin}: {error}") from None
    for field in ("name", "hash"):
        said = [getattr(token, field) for token in content.token]
        twice = next((value for value in said if said.count(value) > 1), None)
        if twice is not None:
            raise ConfigError(f"{origin}: two tokens have the {field} {twice!r}")
    return content.token


def read_tokens(path: Path, key: str) -> tuple[Token, ...]:
    """The tokens of a file; ConfigError names the setting `key`."""
    return parse_tokens(_text_of(path, key), f"{key} = {path}")


def add_token(path: Path, token: Token) -> None:
    """Write a token at the end of the file, which is made if it is not there. UsageError if the name is taken."""
    before = _text_of(path, "tokens_file") if path.exists() else _HEAD
    if any(other.name == token.name for other in parse_tokens(before, str(path))):
        raise UsageError(f"{path} has a token {token.name!r} already: remove it first")
    lines = ["", "[[token]]", f'name = "{token.name}"']
    if token.namespace:
        lines.append(f"namespace = {_quoted(token.namespace)}")
    lines.append(f'hash = "{token.hash}"')
    for field in ("items_per_second", "bytes_per_second"):
        if getattr(token, field):
            lines.append(f"{field} = {getattr(token, field)}")
    _write(path, before.rstrip("\n") + "\n" + "\n".join(lines) + "\n")


def remove_token(path: Path, name: str) -> None:
    """Take a token out of the file and leave everything else as it is. UsageError if it is not there."""
    text = _text_of(path, "tokens_file")
    known = parse_tokens(text, str(path))
    if name not in [token.name for token in known]:
        raise UsageError(
            f"{path} has no token {name!r}; it has {', '.join(t.name for t in known) or 'none'}"
        )
    head, *blocks = _BLOCK.split(text)
    kept = [b for b in blocks if [t.name for t in parse_tokens(b, str(path))] != [name]]
    after = head + "".join(kept)
    if parse_tokens(after, str(path)) != tuple(token for token in known if token.name != name):
        raise UsageError(f"{path}: the token {name!r} is written unusually: remove it by hand")
    _write(path, after)


class TokenFile:
    """The tokens of a file. A changed file counts within LOOK_S; a broken one leaves the old tokens. Thread-safe."""

    def __init__(self, path: Path, key: str, clock: Clock) -> None:
        """`key` is the setting that names the file. Raises ConfigError if it cannot be read or is wrong."""
        self._path = path
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        # Before reading: what is written meanwhile is a change.
        self._seen = self._stamp()
        self._tokens = _by_hash(read_tokens(path, key))
        self._looked_at_s = clock.monotonic_s()

    def find(self, presented: str) -> Token | None:
        """The token that was presented, or None if it is unknown."""
        self._look()
        return self._tokens.get(hash_of(presented))

    def _look(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_at_s < LOOK_S:
            return
        with self._lock:
            self._looked_at_s = now_s
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._tokens = _by_hash(read_tokens(self._path, self._key))
            except ConfigError as error:
                _log.error("the tokens stay as they were: %s", error)
            else:
                _log.info("tokens were read", extra={"tokens": len(self._tokens)})

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _by_hash(tokens: tuple[Token, ...]) -> dict[str, Token]:
    return {token.hash: token for token in tokens}


def _text_of(path: Path, key: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{key}: there is no file {path}; `stallwatch token add NAME` makes it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error}") from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a service may be reading. Its permissions stay; a new file is the owner's alone."""
    written = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(text, encoding="utf-8")
        written.chmod(path.stat().st_mode & 0o777 if path.exists() else FILE_MODE)
        written.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _quoted(text: str) -> str:
    """As a TOML basic string."""
    return (
        '"'
        + "".join(c if c >= " " and c not in '"\\\x7f' else f"\\u{ord(c):04x}" for c in text)
        + '"'
    )
