"""Where in a file the key stands that is wrong."""

from pathlib import Path

import pytest

from stallwatch.config import load_settings
from stallwatch.config.lines import line_of
from stallwatch.errors import ConfigError

TEXT = """\
# Where spans come in.
[collector]
otlp_http = "127.0.0.1:0"

generic_services = [
    "shop",
]
[[detectors.policy]]
workflow = "order"
[[detectors.policy]]
workflow = "refund"
max_wait = "soon"
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("collector",), 2),
        (("collector", "otlp_http"), 3),
        (("collector", "generic_services"), 7),
        (("collector", "nothing"), 2),
        (("detectors", "policy", 0, "workflow"), 9),
        (("detectors", "policy", 1, "max_wait"), 12),
        (("detectors", "policy", 1, "max_wait", "a validator"), 12),
        (("web", "listen"), None),
        ((), None),
    ],
)
def test_where_a_key_stands(key: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(TEXT, key) == line


def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(f"{TEXT}[web]\nlistenn = '127.0.0.1:1'\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    wait, listen = sorted(str(caught.value).splitlines())
    assert wait.startswith(f"{file}:12: detectors.policy.1.max_wait: ")
    assert listen == f"{file}:14: web.listenn: there is no such key"
    monkeypatch.setenv("STALLWATCH__DETECTORS__FALSE_ALARMS_PER_WEEK", "2")
    file.write_text("[report]\n[web]\nlisten = '0.0.0.0:8900'\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert str(caught.value).startswith(f"{file}:3: web.listen")
    file.write_text("[web]\n", encoding="utf-8")
    monkeypatch.setenv("STALLWATCH__WEB__LISTEN", "nowhere")
    with pytest.raises(ConfigError, match=r"^environment: web\.listen: "):
        load_settings(file)
