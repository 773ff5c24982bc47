"""What `doctor` says of tokens and TLS."""

from pathlib import Path

import pytest
import trustme

from stallwatch.app.protection import protection
from stallwatch.config import Settings
from stallwatch.config.tokens import Token, add_token, hash_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    leaf = trustme.CA().issue_cert("a.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    add_token(tmp_path / "tokens.toml", Token(name="a", hash=hash_of("a")))
    return tmp_path


def told(folder: Path, **more: str) -> dict[str, tuple[bool, str]]:
    web = {"tls_cert": folder / "cert.pem", "tls_key": folder / "key.pem"}
    settings = Settings.model_validate(
        {"web": {**web, "tokens_file": folder / "tokens.toml", **more}}
    )
    return {check: (ok, detail) for check, ok, detail in protection(settings)}


def test_what_each_listener_has(folder: Path) -> None:
    found = told(folder, listen="0.0.0.0:8900")
    assert found["collector protection"] == (True, "no tokens, no TLS")
    ok, detail = found["web protection"]
    assert ok
    assert detail.startswith("other machines reach it, 1 tokens in ")
    assert detail.endswith(", TLS")
    assert len(found) == 2


def test_secrets_that_lie_open(folder: Path) -> None:
    (folder / "key.pem").chmod(0o644)
    (folder / "tokens.toml").chmod(0o664)
    found = told(folder)
    assert not found["web.tls_key"][0]
    assert "chmod o-rwx" in found["web.tls_key"][1]
    assert not found["web.tokens_file"][0]
    (folder / "tokens.toml").chmod(0o644)
    assert "web.tokens_file" not in told(folder)


def test_what_would_end_the_start_is_told(folder: Path) -> None:
    (folder / "tokens.toml").write_text("[[token]]\n")
    assert told(folder)["web protection"][0] is False
    (folder / "tokens.toml").unlink()
    assert "stallwatch token add" in told(folder)["web protection"][1]
