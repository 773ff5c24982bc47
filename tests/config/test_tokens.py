"""The tokens file: made, read, changed under a running service."""

import base64
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallwatch.clock import ManualClock
from stallwatch.config.tokens import (
    LOOK_S,
    Token,
    TokenFile,
    add_token,
    hash_of,
    new_token,
    parse_tokens,
    read_tokens,
    remove_token,
    token_in,
)
from stallwatch.errors import ConfigError, UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 5, tzinfo=UTC))


def token(name: str, secret: str = "", **more: object) -> Token:
    return Token.model_validate({"name": name, "hash": hash_of(secret or name), **more})


def test_what_is_added_is_read_and_only_the_owner_reads_it(path: Path) -> None:
    both = (token("a", namespace='of "a"\n\\', bytes_per_second=5_000_000), token("b"))
    for one in both:
        add_token(path, one)
    assert read_tokens(path, "collector.tokens_file") == both
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_is_not_in_its_file(path: Path) -> None:
    secret = new_token()
    add_token(path, token("a", secret))
    assert secret not in path.read_text()
    assert secret != new_token()
    assert len(base64.urlsafe_b64decode(secret.removeprefix("swt_") + "=")) == 32


def test_removing_leaves_the_rest_as_it_is(path: Path) -> None:
    first = f'# mine\n[[token]]\nname = "a"\nhash = "{hash_of("a")}"\n\n'
    last = f'[[token]] # theirs\nhash = "{hash_of("c")}"\nname = "c"\n'
    path.write_text(f'{first}[[token]]\nname = "b"\nhash = "{hash_of("b")}"\n{last}')
    path.chmod(0o640)
    remove_token(path, "b")
    assert path.read_text() == first + last
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(UsageError, match="it has a, c"):
        remove_token(path, "b")


def test_a_name_is_taken_once(path: Path) -> None:
    add_token(path, token("a"))
    with pytest.raises(UsageError, match="already"):
        add_token(path, token("a", "other"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[token]\n", "line 1"),
        ('[[token]]\nname = "a"\n', r"token\.0\.hash"),
        ('[[token]]\nname = "a b"\nhash = "sha256:00"\n', r"token\.0\.name: letters"),
        ('[[token]]\nname = "a"\nhash = "secret"\n', r"token\.0\.hash: write sha256"),
        (f'[[token]]\nname="a"\nhash="{hash_of("a")}"\nrate=1\n', r"rate: there is no such key"),
        (f'[[token]]\nname="a"\nhash="{hash_of("a")}"\n' * 2, "two tokens have the name 'a'"),
        ("[[tokens]]\n", "tokens: there is no such key"),
    ],
)
def test_what_is_wrong_is_named(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_tokens(text, "tokens.toml")


def test_a_missing_file_says_how_to_make_it(path: Path, clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match=r"collector\.tokens_file.*stallwatch token add"):
        TokenFile(path, "collector.tokens_file", clock)


def test_a_changed_file_counts_within_seconds(path: Path, clock: ManualClock) -> None:
    add_token(path, token("a", "old"))
    tokens = TokenFile(path, "collector.tokens_file", clock)
    assert tokens.find("old") is not None
    remove_token(path, "a")
    add_token(path, token("b", "new"))
    assert tokens.find("old") is not None
    clock.advance(LOOK_S)
    assert tokens.find("old") is None
    found = tokens.find("new")
    assert found is not None
    assert found.name == "b"


@pytest.mark.parametrize("broken", ["[[token", None])
def test_a_broken_file_leaves_the_old_tokens(
    broken: str | None, path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    add_token(path, token("a", "secret"))
    tokens = TokenFile(path, "collector.tokens_file", clock)
    good = path.read_text()
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    for _ in range(3):
        clock.advance(LOOK_S)
        assert tokens.find("secret") is not None
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    path.write_text(good.replace('"a"', '"z"'))
    os.utime(path, ns=(0, 0))
    clock.advance(LOOK_S)
    found = tokens.find("secret")
    assert found is not None
    assert found.name == "z"


def test_readers_in_many_threads_see_a_change(path: Path, clock: ManualClock) -> None:
    add_token(path, token("a", "old"))
    tokens = TokenFile(path, "collector.tokens_file", clock)
    add_token(path, token("b", "new"))
    clock.advance(LOOK_S)
    threads = [threading.Thread(target=tokens.find, args=["new"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens.find("new") is not None


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Bearer abc", "abc"),
        ("bearer   abc ", "abc"),
        (basic("anyone:abc"), "abc"),
        (basic(":a:b"), "a:b"),
        (basic("abc"), None),
        ("Basic %%%", None),
        ("Digest abc", None),
        ("Bearer", None),
        ("", None),
        (None, None),
    ],
)
def test_where_a_token_stands(header: str | None, found: str | None) -> None:
    assert token_in(header) == found


@given(st.text())
def test_no_header_breaks_the_search(text: str) -> None:
    for header in (text, f"Basic {text}", f"Bearer {text}"):
        presented = token_in(header)
        if presented is not None:
            hash_of(presented)
