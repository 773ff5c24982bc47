"""What `docs/cli.md` says of the commands."""

import re

from tests.app.running import ROOT


def documented(command: str) -> list[str]:
    """The JSON fields of a command, in the document's order."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 4 and re.match(rf"`{command}[ `]", cells[1]):
            return re.findall(r"`(\w+)`", cells[2].rpartition("JSON: ")[2])
    raise AssertionError(f"{command} is not documented")
