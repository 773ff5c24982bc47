"""Framing Native blocks: every type is walked to its end, nothing else changes."""

import pytest

from stallwatch.errors import StoreRefused
from stallwatch.store import Store
from stallwatch.store.native_blocks import framed

INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
TYPES = (
    "toUInt8(1)", "toInt16(-2)", "toFloat32(1.5)", "toInt128(7)", "toUInt256(7)", "toDate('2026-01-05')",
    "toDate32('2026-01-05')", "toDateTime64('2026-01-05 00:00:00', 6, 'UTC')",
    "toUUID('00000000-0000-0000-0000-000000000001')",
    "toIPv4('1.2.3.4')", "toIPv6('::1')", "toDecimal32(1.5, 2)", "toDecimal64(1.5, 4)", "toDecimal128(1.5, 4)",
    "repeat('x', 300)", "toFixedString('abc', 5)", "CAST('a', 'Enum8(\\'a\\' = 1, \\'b,)\\' = 2)')", "true", "NULL",
    "toNullable(number)", "[number, 2]", "emptyArrayString()", "[[number], []]", "[toNullable('a'), NULL]",
    "map('a', number, 'b', 2)", "map('a', [1, 2])", "(number, 'x', [1])",
    "CAST((1, 'x'), 'Tuple(a UInt8, `b c` String)')",
    "toLowCardinality(toString(number % 300))", "toLowCardinality(toNullable('z'))", "[toLowCardinality('q')]",
    "map(toLowCardinality('k'), toLowCardinality('v'))", "INTERVAL 3 DAY", "tuple()",
)  # fmt: skip


@pytest.mark.parametrize("expression", TYPES)
@pytest.mark.parametrize("rows", [1, 700])
def test_a_column_behind_it_is_found(store_root: Store, expression: str, rows: int) -> None:
    """If a column were walked wrongly, the one behind it would be read from the wrong place."""
    sql = f"SELECT {expression} AS c, toUInt32(number) AS last FROM numbers({rows})"
    with store_root.engine.borrowed() as client:
        plain = client.raw_query(sql, fmt="Native")
    out = framed(plain, 54460)
    name_and_type = b"\x04last\x06UInt32"
    assert out.count(INFO) == 1
    assert out.startswith(INFO)
    assert out.count(name_and_type + b"\x00") == 1
    assert len(out) == len(plain) + len(INFO) + 2
    assert out.endswith(plain[plain.index(name_and_type) + len(name_and_type) :])


def test_each_block_has_its_info(store_root: Store) -> None:
    with store_root.engine.borrowed() as client:
        plain = client.raw_query("SELECT number, 'x' FROM numbers(200000)", fmt="Native")
    out = framed(plain, 54460)
    blocks = out.count(INFO)
    assert blocks > 1
    assert len(out) == len(plain) + blocks * (len(INFO) + 2)


def test_by_revision(store_root: Store) -> None:
    with store_root.engine.borrowed() as client:
        plain = client.raw_query("SELECT 1 AS a", fmt="Native")
    assert framed(plain, 0) == plain
    assert framed(plain, 54405) == INFO + plain
    assert framed(plain, 54454) == INFO + b"\x01\x01\x01a\x05UInt8\x00\x01"
    assert framed(b"", 54454) == b""


def test_a_type_with_an_unknown_layout_is_refused(store_root: Store) -> None:
    with store_root.engine.borrowed() as client:
        plain = client.raw_query("SELECT sumState(1) AS a", fmt="Native")
    with pytest.raises(StoreRefused, match="AggregateFunction"):
        framed(plain, 54460)
