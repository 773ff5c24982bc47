"""What `doctor` says of tokens and TLS: who may speak to each listener, and whether secrets lie open."""

from collections.abc import Iterator
from typing import Final

from stallwatch.app.tls import tls_of
from stallwatch.config import Settings
from stallwatch.config.settings import Protected, is_loopback
from stallwatch.config.tokens import read_tokens
from stallwatch.errors import ConfigError

_GROUP_OR_OTHERS_WRITE: Final = 0o022
_OTHERS: Final = 0o007


def protection(settings: Settings) -> Iterator[tuple[str, bool, str]]:
    """For each section with listeners: what was looked at, whether it is good, and what is so."""
    collector, web = settings.collector, settings.web
    for section, config, addresses in (
        ("collector", collector, (collector.otlp_http, collector.otlp_grpc)),
        ("web", web, (web.listen,)),
    ):
        try:
            detail = ", ".join(means(section, config))
        except ConfigError as error:
            yield f"{section} protection", False, str(error)
            continue
        reached = "" if all(map(is_loopback, addresses)) else "other machines reach it, "
        yield f"{section} protection", True, reached + (detail or "no tokens, no TLS")
        yield from _open_secrets(section, config)


def means(section: str, config: Protected) -> Iterator[str]:
    """The tokens and the TLS of a section, read as `serve` reads them. Raises ConfigError that names the key."""
    if config.tokens_file is not None:
        count = len(read_tokens(config.tokens_file, f"{section}.tokens_file"))
        yield f"{count} tokens in {config.tokens_file}"
    if tls_of(section, config) is not None:
        yield "TLS" if config.tls_client_ca is None else "TLS with client certificates"


def _open_secrets(section: str, config: Protected) -> Iterator[tuple[str, bool, str]]:
    """A key is a secret; the tokens file has hashes only, but whoever writes to it makes tokens."""
    if config.tls_key is not None and config.tls_key.stat().st_mode & _OTHERS:
        yield f"{section}.tls_key", False, f"{config.tls_key} is open to every user: chmod o-rwx"
    if config.tokens_file is not None:
        mode = config.tokens_file.stat().st_mode
        if mode & _GROUP_OR_OTHERS_WRITE:
            yield (
                f"{section}.tokens_file",
                False,
                f"{config.tokens_file} may be written by other users: chmod go-w",
            )
