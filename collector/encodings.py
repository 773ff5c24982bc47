"""What HTTP says about a body: content type, charset, content encoding; and bounded inflation."""

import sys
import zlib
from collections.abc import Callable
from email.message import Message
from typing import Final, Protocol

from collector.refusals import TooLarge, Unsupported
from stallwatch.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_AUTOMATIC: Final = zlib.MAX_WBITS | 32
"""Reads a gzip or a zlib header."""
_RAW: Final = -zlib.MAX_WBITS
_MEMBERS_MAX: Final = 64
"""More gzip members or zstd frames than any sender writes: each costs a copy of what follows it."""
BOM: Final = b"\xef\xbb\xbf"


def media_type(header: str | None) -> str:
    """`application/json` of `Application/JSON; charset="utf-8"`; empty if there is none.

    Raises Unsupported for a charset other than UTF-8.
    """
    if not header:
        return ""
    message = Message()
    message["content-type"] = header.replace("\r", " ").replace("\n", " ")
    charset = str(message.get_param("charset", "")).lower()
    if charset not in _CHARSETS:
        raise Unsupported(f"Content-Type: charset {charset!r} is not read, send UTF-8")
    return header.partition(";")[0].strip().lower()


def inflate(data: bytes, encoding: str | None, limit_bytes: int) -> bytes:
    """Undo a Content-Encoding: gzip, zstd (of one or more members or frames), deflate (zlib or raw) or none.

    Raises TooLarge as soon as more than `limit_bytes` come out, InputError for a damaged or cut stream,
    Unsupported for another encoding.
    """
    match (encoding or "").strip().lower():
        case "" | "identity":
            if len(data) > limit_bytes:
                raise TooLarge(f"the body has more than {limit_bytes} bytes")
            return data
        case "gzip" | "x-gzip" as known:
            return _inflate(data, limit_bytes, known, lambda: zlib.decompressobj(_AUTOMATIC))
        case "deflate" as known:
            # A zlib stream begins with a checked header; some senders of "deflate" leave it out.
            window = _AUTOMATIC if _has_zlib_header(data) else _RAW
            return _inflate(data, limit_bytes, known, lambda: zlib.decompressobj(window))
        case "zstd" as known:
            return _inflate(data, limit_bytes, known, _zstd_stream)
        case other:
            raise Unsupported(
                f"Content-Encoding: {other[:40]!r} is not read, send gzip, deflate or zstd"
            )


class _Stream(Protocol):
    """What zlib and zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _inflate(
    data: bytes, limit_bytes: int, encoding: str, open_stream: Callable[[], _Stream]
) -> bytes:
    out: list[bytes] = []
    size_bytes = 0
    rest = data
    while rest:
        if len(out) == _MEMBERS_MAX:
            raise InputError(f"the {encoding} body has more than {_MEMBERS_MAX} members")
        stream = open_stream()
        try:
            piece = stream.decompress(rest, limit_bytes + 1 - size_bytes)
        except (zlib.error, zstd.ZstdError) as error:
            raise InputError(f"the body is not {encoding}: {error}") from None
        size_bytes += len(piece)
        out.append(piece)
        if size_bytes > limit_bytes:
            raise TooLarge(f"the body inflates to more than {limit_bytes} bytes")
        if not stream.eof:
            raise InputError(f"the {encoding} body ends too early")
        rest = stream.unused_data
    if not out:
        raise InputError(f"the {encoding} body is empty")
    return b"".join(out) if len(out) > 1 else out[0]


def _zstd_stream() -> _Stream:
    # RFC 9659: a window of at most 8 MiB, else a few bytes could ask for 2 GiB of memory.
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})


def _has_zlib_header(data: bytes) -> bool:
    return len(data) >= 2 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
