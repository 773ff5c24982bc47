"""Bodies are inflated within bounds, whatever they are."""

import gzip
import os
import struct
import zlib
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from collector.encodings import inflate, media_type
from collector.refusals import TooLarge, Unsupported
from stallwatch.errors import InputError

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
LIMIT_BYTES = 1000


@given(
    st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.sampled_from(sorted(ENCODINGS))
)
def test_members_one_after_the_other_are_one_body(parts: list[bytes], encoding: str) -> None:
    packed = b"".join(map(ENCODINGS[encoding], parts))
    assert inflate(packed, encoding, LIMIT_BYTES) == b"".join(parts)


@given(
    st.binary(max_size=100),
    st.sampled_from(sorted(ENCODINGS)),
    st.integers(0, 99),
    st.integers(0, 7),
)
def test_no_bytes_make_it_fail_otherwise_or_go_beyond_the_limit(
    data: bytes, encoding: str, place: int, bit: int
) -> None:
    """Random bytes, and a stream in which one bit is wrong."""
    packed = bytearray(ENCODINGS[encoding](data * 20))
    packed[place % len(packed)] ^= 1 << bit
    for body in (data, bytes(packed)):
        try:
            inflated = inflate(body, encoding, LIMIT_BYTES)
        except InputError as error:
            reason = str(error)
        else:
            assert len(inflated) <= LIMIT_BYTES
            continue
        assert reason


@pytest.mark.parametrize("encoding", [*ENCODINGS, "identity"])
def test_the_limit_itself_is_allowed_and_one_more_is_not(encoding: str) -> None:
    pack = ENCODINGS.get(encoding, bytes)
    assert len(inflate(pack(b"a" * LIMIT_BYTES), encoding, LIMIT_BYTES)) == LIMIT_BYTES
    for body in (pack(b"a" * (LIMIT_BYTES + 1)), pack(b"a" * LIMIT_BYTES) + pack(b"a")):
        with pytest.raises(TooLarge, match=str(LIMIT_BYTES)):
            inflate(body, encoding, LIMIT_BYTES)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_many_members_are_refused(encoding: str) -> None:
    with pytest.raises(InputError, match="64 members"):
        inflate(ENCODINGS[encoding](b"") * 65, encoding, LIMIT_BYTES)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_cut_or_followed_by_something_else_is_refused(encoding: str) -> None:
    packed = ENCODINGS[encoding](os.urandom(100))
    for body in (packed[:-1], packed[:5], packed + b"something else"):
        with pytest.raises(InputError, match=encoding):
            inflate(body, encoding, LIMIT_BYTES)


def test_zstd_frames_that_say_no_length_and_frames_to_skip() -> None:
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.content_size_flag: 0})
    unsaid = stream.compress(b"one ") + stream.flush()
    skipped = struct.pack("<II", 0x184D2A50, 3) + b"abc"
    assert inflate(skipped + unsaid + skipped + zstd.compress(b"two"), "zstd", 100) == b"one two"


def test_a_zstd_window_beyond_8_mib_is_refused_before_it_is_allocated() -> None:
    """RFC 9659. Thirteen bytes could ask for as much as 2 GiB."""
    options: dict[int, int] = {
        zstd.CompressionParameter.content_size_flag: 0,
        zstd.CompressionParameter.window_log: 24,
    }
    stream = zstd.ZstdCompressor(options=options)
    with pytest.raises(InputError, match="too much memory"):
        inflate(stream.compress(b"small") + stream.flush(), "zstd", LIMIT_BYTES)


def test_media_types() -> None:
    assert media_type('Application/JSON; charset="utf-8"; x=y') == "application/json"
    assert media_type(None) == media_type("") == ""
    with pytest.raises(Unsupported, match="utf-16"):
        media_type("application/json; charset=UTF-16")
