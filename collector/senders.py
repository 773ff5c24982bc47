"""Who sends: a name that is the same for every request of one sender, and of few values in all."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

HEADER: Final = "stallwatch-sender"
"""The header (and gRPC metadata key) by which a sender names itself."""
_LENGTH_MAX: Final = 100
_ADDRESSES_MAX: Final = 1024
"""How many spellings are remembered: each request asks."""
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_PRODUCT: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,60}")


def sender_name(header: str | None, address: str, user_agent: str | None, known: str = "") -> str:
    """The header if the sender set it, else "10.0.0.1 OTel-OTLP-Exporter-Python": address and product.

    Ports and versions are left out: they change while the sender stays the same. Who is `known` by a token or a
    certificate has that name, and the header tells its parts from each other: "billing/worker-eu".
    """
    named = _UNPRINTABLE.sub("?", header or "").strip()[:_LENGTH_MAX]
    if known:
        proven = _UNPRINTABLE.sub("?", known)[:_LENGTH_MAX]
        return f"{proven}/{named}" if named else proven
    if named:
        return named
    product = _PRODUCT.match((user_agent or "").strip())
    return f"{address} {product.group()}" if product else address


@lru_cache(maxsize=_ADDRESSES_MAX)
def plain_address(host: str | None) -> str:
    """An IP address in its usual spelling (IPv4 in IPv6 as IPv4); other names as they are, cut short."""
    try:
        address = ip_address((host or "").strip("[]"))
    except ValueError:
        return _UNPRINTABLE.sub("?", host or "")[:_LENGTH_MAX] or "local"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=_ADDRESSES_MAX)
def grpc_address(peer: str) -> str:
    """The address in what gRPC calls a peer: `ipv4:127.0.0.1:5`, `ipv6:%5B::1%5D:5`, `unix:…`."""
    family, _, rest = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return "local"
    return plain_address(rest.rpartition(":")[0])


def is_loopback(address: str) -> bool:
    """Whether an address (as `plain_address` spells it) is this machine's own."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
