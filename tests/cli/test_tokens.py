"""`token add`, `token list`, `token remove`, as they are typed."""

import tomllib
from pathlib import Path

import pytest

from stallwatch.config.tokens import hash_of
from tests.app.running import Ended, run_here


class Place:
    def __init__(self, folder: Path, keys: str) -> None:
        self.tokens = folder / "secrets" / "tokens.toml"
        self.config = folder / "stallwatch.toml"
        self.config.write_text(keys.format(tokens=self.tokens))

    def run(self, *argv: str) -> Ended:
        return run_here("token", *argv, "--config", str(self.config))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, '[collector]\ntokens_file = "{tokens}"\n')


def test_a_token_is_shown_once_alone_on_standard_output(place: Place) -> None:
    ended = place.run("add", "billing", "--namespace", "billing", "--items-per-second", "100")
    assert ended.code == 0
    secret = ended.out.removesuffix("\n")
    assert len(secret.split()) == 1
    assert secret not in ended.err
    content = tomllib.loads(place.tokens.read_text())
    assert content["token"] == [
        {
            "name": "billing",
            "namespace": "billing",
            "hash": hash_of(secret),
            "items_per_second": 100,
        }
    ]


def test_what_is_added_is_listed_and_removed(place: Place) -> None:
    for name in ("a", "b"):
        assert place.run("add", name).code == 0
    assert place.run("remove", "a").code == 0
    listed = place.run("list", "--format", "json")
    assert listed.data == [
        {"name": "b", "namespace": "", "items_per_second": 0, "bytes_per_second": 0}
    ]
    assert "sha256" not in listed.out
    assert "b" in place.run("list").out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("add", "b c"), "name: letters"),
        (("add", "a"), "has a token 'a' already"),
        (("add", "b", "--items-per-second", "-1"), "Usage"),
        (("add", "b", "--namespace", ""), "--namespace: is empty"),
        (("add", "b", "--namespace", " "), "--namespace: is empty"),
        (("remove", "b"), "has no token 'b'; it has a"),
        (("add", "b", "--for", "web"), "web.tokens_file is not set"),
    ],
)
def test_wrong_usage_is_named(argv: tuple[str, ...], told: str, place: Place) -> None:
    place.run("add", "a")
    before = place.tokens.read_text()
    ended = place.run(*argv)
    assert ended.code == 2
    assert told in ended.err
    assert place.tokens.read_text() == before


@pytest.mark.parametrize(
    "option",
    [("--namespace", "x"), ("--items-per-second", "5"), ("--bytes-per-second", "0")],
)
def test_what_only_senders_have_is_refused_for_readers(
    option: tuple[str, str], tmp_path: Path
) -> None:
    place = Place(tmp_path, '[web]\ntokens_file = "{tokens}"\n')
    ended = place.run("add", "b", "--for", "web", *option)
    assert ended.code == 2
    assert f"{option[0]}: is for senders; a token for the web reads everything" in ended.err
    assert not place.tokens.exists()


def test_readers_have_a_file_of_their_own(tmp_path: Path) -> None:
    place = Place(tmp_path, '[web]\ntokens_file = "{tokens}"\n')
    assert place.run("add", "grafana", "--for", "web").code == 0
    assert place.run("list", "--for", "web", "--format", "json").data[0]["name"] == "grafana"
    assert place.run("list").code == 2
