"""A sender keeps its name from request to request, and there are few names."""

import pytest

from collector.senders import grpc_address, is_loopback, plain_address, sender_name


@pytest.mark.parametrize(
    ("header", "agent", "name"),
    [
        (None, "OTel-OTLP-Exporter-Python/1.45.2", "10.0.0.1 OTel-OTLP-Exporter-Python"),
        (
            None,
            "OTel-OTLP-Exporter-Python/1.45.2 grpc-python/1.85",
            "10.0.0.1 OTel-OTLP-Exporter-Python",
        ),
        (None, "Rotel Rust/1.84.1 hyper/1.52.0", "10.0.0.1 Rotel"),
        (None, None, "10.0.0.1"),
        (None, "(odd)", "10.0.0.1"),
        (None, "x" * 500, "10.0.0.1 " + "x" * 60),
        ("gateway", "curl/8", "gateway"),
        (" \x00gate\nway\xe9 ", "curl/8", "?gate?way?"),
        ("", "curl/8", "10.0.0.1 curl"),
        ("y" * 500, None, "y" * 100),
    ],
)
def test_names(header: str | None, agent: str | None, name: str) -> None:
    assert sender_name(header, "10.0.0.1", agent) == name


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50051", "127.0.0.1"),
        ("ipv6:%5B::1%5D:50051", "::1"),
        ("ipv6:[::ffff:10.0.0.9]:1", "10.0.0.9"),
        ("unix:/run/x.sock", "local"),
        ("", "local"),
    ],
)
def test_addresses_of_grpc_peers(peer: str, address: str) -> None:
    assert grpc_address(peer) == address


def test_addresses() -> None:
    assert plain_address(None) == "local"
    assert plain_address("testclient") == "testclient"
    assert is_loopback(plain_address("::ffff:127.0.0.1"))
    assert is_loopback("::1")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("local")
