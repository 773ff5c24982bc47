"""Secrets of engines: in the configuration, where the environment may have put them, or in a file of their own."""

from pathlib import Path

from pydantic import SecretStr

from stallwatch.errors import ConfigError


def secret(key: str, value: SecretStr | None, file: Path | None) -> str:
    """What `key` says, or else the text of the file that `<key>_file` names; empty where neither is set.

    ConfigError names the key and the file, never the secret.
    """
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return ""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}_file: {file} cannot be read: {error}") from None
    if not text:
        raise ConfigError(f"{key}_file: {file} is empty")
    return text
