from collections.abc import Iterator

import pytest

from alerts.targets.base import retry_after_s
from alerts.targets.posting import ANSWER_BYTES_MAX, SAID_MAX, Answer, bearer, post
from stallwatch.errors import Permanent, Transient
from tests.alerts.helpers import Answer as Said
from tests.alerts.helpers import StandIn, drip, stand_in

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000000\r\n\r\n"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


def asked(url: str, *secrets: str, timeout_s: float = 5.0) -> Answer:
    return post("it", url, {"a": 1}, headers={}, timeout_s=timeout_s, secrets=secrets)


def test_headers_that_never_end_are_given_up_in_time() -> None:
    with drip(b"HTTP/1.1 200 OK\r\nX-Slow: ") as slow:
        with pytest.raises(Transient, match=r"it did not answer within 0\.3 s"):
            asked(slow.url, timeout_s=0.3)
        assert slow.left.wait(5)


def test_of_a_text_that_never_ends_what_came_in_time_is_the_answer() -> None:
    with drip(HEAD) as slow:
        answer = asked(slow.url, timeout_s=0.3)
        assert (answer.status, set(answer.text)) == (200, {"x"})
        assert slow.left.wait(5)


def test_no_more_than_the_beginning_of_a_long_text_is_read() -> None:
    with drip(HEAD, b"x" * 1_000_000) as long:
        assert asked(long.url, timeout_s=60).text == "x" * ANSWER_BYTES_MAX
        assert long.left.wait(5)
        # Of a hundred; some go into the system's buffers.
        assert long.sent < 50


def test_what_is_said_repeats_neither_the_address_nor_a_secret(server: StandIn) -> None:
    text = "Cannot POST /services/T/s3cret (/services/T/s3cret?key=k3y, key=k3y) with t0ken"
    server.script(Said(404, text + " " * 10 + "x" * SAID_MAX))
    answer = asked(server.url + "/services/T/s3cret?key=k3y", "t0ken")
    assert answer.said.startswith("Cannot POST … (…, …) with …")
    assert len(answer.said) <= SAID_MAX
    assert answer.text.startswith(text)


@pytest.mark.parametrize(
    "url", ["http://a b/s3cret", " http://127.0.0.1:1/s3cret", "http://127.0.0.1:1/s3cret\n"]
)
def test_an_address_with_a_blank_is_permanent_and_not_told(url: str) -> None:
    with pytest.raises(Permanent, match="has a blank in it") as caught:
        asked(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("token", ["", " ", "t0ken\nX: y", "t0kén", " t0ken"])
def test_a_token_that_no_header_can_carry_is_permanent_and_not_told(token: str) -> None:
    with pytest.raises(Permanent, match="bot_token cannot be sent") as caught:
        bearer("bot_token", token)
    assert "t0k" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1]", '"x"', "{", "[" * 50_000])
def test_what_is_no_json_object_has_no_fields(text: str) -> None:
    assert Answer(status=200, headers={}, text=text, said="").fields() == {}


@pytest.mark.parametrize(
    ("wish", "wait_s"),
    [
        ("17", 17),
        ("Sun, 22 Nov 2026 10:01:30 GMT", 90),
        ("Sun, 22 Nov 2026 10:01:30 -0000", 90),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(wish: str, wait_s: float | None) -> None:
    headers = {"Date": "Sun, 22 Nov 2026 10:00:00 GMT", "Retry-After": wish}
    assert retry_after_s(headers) == wait_s


def test_a_date_beside_none_is_no_wish() -> None:
    assert retry_after_s({"Retry-After": "Sun, 22 Nov 2026 10:01:30 GMT"}) is None
