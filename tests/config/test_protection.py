"""What a listener needs before other machines may reach it."""

from pathlib import Path

import pytest

from stallwatch.config import load_settings
from stallwatch.errors import ConfigError

LISTENERS = [("collector", "otlp_http"), ("collector", "otlp_grpc"), ("web", "listen")]
TLS = 'tls_cert = "c.pem"\ntls_key = "c.key"\n'
TOKENS = 'tokens_file = "t.toml"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stallwatch.toml"


@pytest.mark.parametrize(("section", "key"), LISTENERS)
@pytest.mark.parametrize(
    "address", ["0.0.0.0:4000", "[::]:4000", "10.0.0.1:4000", "a.example:4000"]
)
def test_beyond_loopback_it_needs_tokens_or_tls(
    section: str, key: str, address: str, path: Path
) -> None:
    text = f'[{section}]\n{key} = "{address}"\n'
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"{section}\.{key} = .*set {section}\.tokens_file"):
        load_settings(path)
    for protection in (TLS, TOKENS):
        path.write_text(text + protection)
        load_settings(path)


def test_the_protection_of_one_section_is_not_that_of_the_other(path: Path) -> None:
    path.write_text(f'[collector]\n{TOKENS}[web]\nlisten = "0.0.0.0:8900"\n')
    with pytest.raises(ConfigError, match=r"web\.listen"):
        load_settings(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('tls_cert = "c.pem"\n', "tls_cert and tls_key go together"),
        ('tls_key = "c.key"\n', "tls_cert and tls_key go together"),
        ('tls_client_ca = "ca.pem"\n', "tls_client_ca needs tls_cert"),
    ],
)
@pytest.mark.parametrize("section", ["collector", "web"])
def test_half_of_tls_is_none(section: str, text: str, told: str, path: Path) -> None:
    path.write_text(f"[{section}]\n{text}")
    with pytest.raises(ConfigError, match=told):
        load_settings(path)
