"""Slow and too many connections, over real sockets."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from stallwatch.app import connections
from stallwatch.app.connections import HEAD_BYTES_MAX, Ended, certificate_name, ended_counter
from stallwatch.app.listening import HttpServer, bind

WAIT_S = 30.0
"""How long anything may take before a test gives up."""
SOON_S = 0.3
HALF = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Le"
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body and the name in the client's certificate; at once on /early."""
    if scope["path"] == "/early":
        await send(
            {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    said = f"{len(body)} {scope['state']['certificate']}".encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


class Serving(HttpServer):
    """A server that says how many connections it ended."""

    def __init__(self, most: int, head_s: float, tls: ssl.SSLContext | None) -> None:
        self._registry = CollectorRegistry()
        ended = ended_counter(self._registry)
        super().__init__("test", echo, bind("test", "127.0.0.1:0"), ended, tls, most, head_s)

    def ended(self) -> dict[Ended, int]:
        """By reason, without those that did not occur."""
        counted = {}
        for why in Ended:
            labels = {"server": "test", "reason": why}
            value = self._registry.get_sample_value("stallwatch_connections_ended_total", labels)
            # Also what did not occur yet is in the metrics.
            assert value is not None
            counted[why] = int(value)
        return {why: count for why, count in counted.items() if count}


@contextmanager
def serving(
    most: int = 1000, head_s: float = 60.0, tls: ssl.SSLContext | None = None
) -> Iterator[Serving]:
    server = Serving(most, head_s, tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connected(server: HttpServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=WAIT_S)


def everything(sock: socket.socket) -> bytes:
    """What comes until the other side closes."""
    said = b""
    while True:
        try:
            chunk = sock.recv(65536)
        except ConnectionError:
            return said
        if not chunk:
            return said
        said += chunk


def answer_on(sock: socket.socket) -> bytes:
    """One answer to a request on a connection that stays open."""
    said = b""
    while b"\r\n\r\n0 " not in said:
        chunk = sock.recv(65536)
        assert chunk, said
        said += chunk
    return said


@pytest.mark.parametrize("sent", [b"", b"G", HALF, b"\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    with serving(head_s=SOON_S) as server, connected(server) as sock:
        sock.sendall(sent)
        assert everything(sock).startswith(b"HTTP/1.1 408 ")
        assert server.ended() == {Ended.SLOW_HEAD: 1}


def test_a_head_that_drips_ends_the_connection() -> None:
    with serving(head_s=SOON_S) as server, connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        sock.settimeout(SOON_S / 5)
        said = b""
        for number in range(1000):
            try:
                sock.sendall(b"X-%d: y\r\n" % number)
                said = sock.recv(100)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it was listened to forever")
        assert not said or said.startswith(b"HTTP/1.1 408 ")


def test_a_second_head_that_does_not_come_ends_the_connection() -> None:
    with serving(head_s=SOON_S) as server, connected(server) as sock:
        sock.sendall(WHOLE)
        assert answer_on(sock).startswith(b"HTTP/1.1 200 ")
        assert server.ended() == {}
        sock.sendall(HALF)
        assert everything(sock).startswith(b"HTTP/1.1 408 ")
        assert server.ended() == {Ended.SLOW_HEAD: 1}


def test_a_body_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_S", SOON_S)
    with serving() as server, connected(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        assert everything(sock).startswith(b"HTTP/1.1 408 ")
        assert server.ended() == {Ended.SLOW_BODY: 1}


def test_a_head_without_end_is_refused() -> None:
    with serving() as server, connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        try:
            for _ in range(64):
                sock.sendall(b"y" * HEAD_BYTES_MAX)
        except ConnectionError:
            return
        assert b"431" in everything(sock)[:20]


def test_whoever_sends_a_head_without_end_in_one_go_hears_why() -> None:
    with serving() as server, connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * (16 * HEAD_BYTES_MAX))
        # To the end, and not a reset, by which many clients lose what they were told before it.
        said = b"".join(iter(lambda: sock.recv(65536), b""))
        assert said.startswith(b"HTTP/1.1 431 ")
        assert server.ended() == {Ended.LARGE_HEAD: 1}


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n",
        b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nX: %b\r\n\r\nabc",
    ],
)
def test_a_whole_head_that_is_too_large_is_refused_and_one_that_is_not_is_read(head: bytes) -> None:
    with serving() as server:
        with connected(server) as sock:
            sock.sendall(head % (b"y" * (HEAD_BYTES_MAX - 100)) + WHOLE)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connected(server) as sock:
            sock.sendall(WHOLE)
            assert answer_on(sock).startswith(b"HTTP/1.1 200 ")
            sock.sendall(head % (b"y" * HEAD_BYTES_MAX) + WHOLE)
            said = everything(sock)
            assert said.startswith(b"HTTP/1.1 431 ")
            assert said.count(b"HTTP/1.1") == 1
        assert server.ended() == {Ended.LARGE_HEAD: 1}


def test_large_bodies_and_requests_in_one_go_are_no_endless_head() -> None:
    body = b"y" * (4 * HEAD_BYTES_MAX)
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with serving() as server, connected(server) as sock:
        sock.sendall(post * 3 + WHOLE)
        said = b""
        while said.count(b"HTTP/1.1 200") < 4:
            said += sock.recv(65536)


def test_the_rest_of_a_body_that_was_not_waited_for_is_no_head() -> None:
    body = b"y" * (4 * HEAD_BYTES_MAX)
    refused = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving() as server, connected(server) as sock:
        sock.sendall(refused)
        assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")
        sock.sendall(body + WHOLE)
        assert answer_on(sock).startswith(b"HTTP/1.1 200 ")


def test_an_idle_connection_waits_for_its_next_request() -> None:
    with serving(head_s=SOON_S) as server, connected(server) as sock:
        for _ in range(3):
            sock.sendall(WHOLE)
            assert answer_on(sock).startswith(b"HTTP/1.1 200 ")
            sock.settimeout(2 * SOON_S)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.settimeout(WAIT_S)
        assert server.ended() == {}


def test_five_hundred_half_requests_do_not_keep_a_good_sender_out() -> None:
    with serving(most=100) as server, ExitStack() as stack:
        good = stack.enter_context(httpx.Client(base_url=server.url, timeout=WAIT_S))
        assert good.get("/").status_code == 200
        bad = [stack.enter_context(connected(server)) for _ in range(500)]
        for sock in bad:
            # It may have had to give way already.
            with suppress(ConnectionError):
                sock.sendall(HALF)
        for _ in range(20):
            fresh = httpx.post(f"{server.url}/", content=b"abc", timeout=WAIT_S)
            assert (fresh.status_code, fresh.text) == (200, "3 ")
        # What gave way are those that waited longest.
        assert everything(bad[0]) == b""
        bad[-1].settimeout(SOON_S)
        with pytest.raises(TimeoutError):
            bad[-1].recv(1)
        # All but the last hundred; how many of the good ones were closed by their own side first, is not known.
        assert server.ended().keys() == {Ended.GAVE_WAY}
        assert 401 <= server.ended()[Ended.GAVE_WAY] <= 421


def test_requests_under_way_do_not_give_way() -> None:
    begun = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"
    with serving(most=3) as server, ExitStack() as stack:
        busy = [stack.enter_context(connected(server)) for _ in range(3)]
        for sock in busy:
            sock.sendall(begun)
        until_refused(lambda: httpx.get(f"{server.url}/", timeout=WAIT_S))
        for sock in busy:
            sock.sendall(b"cd")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.ended()[Ended.NO_ROOM] == 1


def until_refused(ask: Callable[[], httpx.Response]) -> None:
    """The connections that were made first need not have been seen first."""
    for _ in range(100):
        answer = ask()
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"
            return
    pytest.fail("nobody was refused")


def test_the_name_in_a_certificate_travels_with_the_request() -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    with serving(tls=context) as server:
        assert server.url.startswith("https://")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/", verify=client, timeout=WAIT_S)
        ca.issue_cert("billing.example", common_name="billing").configure_cert(client)
        assert httpx.get(f"{server.url}/", verify=client, timeout=WAIT_S).text == "0 billing"


def test_names_in_certificates() -> None:
    names = {"subjectAltName": (("DNS", "a.example"), ("DNS", "b.example"))}
    assert certificate_name(names) == "a.example"
    organisation = ((("organizationName", "x"),), (("commonName", "c"),))
    assert certificate_name({"subject": organisation, **names}) == "c"
    assert certificate_name({}) == certificate_name(None) == ""


REQUESTS = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [WHOLE, HALF, b"\r\n", b"GET / HTTP/9.9\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
        ),
        st.sampled_from(
            [b"POST / HTTP/1.1\r\n", b"Content-Length: 5\r\n\r\n", b"Upgrade: h2c\r\n"]
        ),
    ),
    max_size=12,
)


def test_no_bytes_keep_the_next_one_from_being_answered() -> None:
    @settings(max_examples=150, deadline=None)
    @given(REQUESTS)
    def send(pieces: list[bytes]) -> None:
        with connected(server) as sock, suppress(ConnectionError):
            for piece in pieces:
                sock.sendall(piece)
        assert good.get("/").text == "0 "

    with serving(most=20) as server, httpx.Client(base_url=server.url, timeout=WAIT_S) as good:
        send()
