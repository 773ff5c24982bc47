"""What HTTP says about a body: content type, charset, content encoding; and bounded inflation."""

import zlib
from email.message import Message
from typing import Final

from collector.refusals import TooLarge, Unsupported
from stallwatch.errors import InputError

_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_AUTOMATIC: Final = zlib.MAX_WBITS | 32
"""Reads a gzip or a zlib header."""
_RAW: Final = -zlib.MAX_WBITS
_MEMBERS_MAX: Final = 64
"""More gzip members than any sender writes: each costs a copy of what follows it."""
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
    """Undo a Content-Encoding: gzip (of one or more members), deflate (zlib or raw) or none.

    Raises TooLarge as soon as more than `limit_bytes` come out, InputError for a damaged or cut stream,
    Unsupported for another encoding.
    """
    match (encoding or "").strip().lower():
        case "" | "identity":
            if len(data) > limit_bytes:
                raise TooLarge(f"the body has more than {limit_bytes} bytes")
            return data
        case "gzip" | "x-gzip" | "deflate" as known:
            return _inflate(data, limit_bytes, known)
        case other:
            raise Unsupported(f"Content-Encoding: {other[:40]!r} is not read, send gzip or deflate")


def _inflate(data: bytes, limit_bytes: int, encoding: str) -> bytes:
    out: list[bytes] = []
    size_bytes = 0
    window = _AUTOMATIC
    # A zlib stream begins with a checked header; some senders of "deflate" leave it out.
    if encoding == "deflate" and not _has_zlib_header(data):
        window = _RAW
    rest = data
    while rest:
        if len(out) == _MEMBERS_MAX:
            raise InputError(f"the {encoding} body has more than {_MEMBERS_MAX} members")
        stream = zlib.decompressobj(window)
        try:
            piece = stream.decompress(rest, limit_bytes + 1 - size_bytes)
        except zlib.error as error:
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


def _has_zlib_header(data: bytes) -> bool:
    return len(data) >= 2 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
