"""Tells on a terminal or in a log file."""

import sys
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from alerts.message import Message
from stallwatch.errors import Transient
from stallwatch.model.durations import rfc3339
from stallwatch.model.plain_text import one_line

STYLES: Final = {"critical": "bold red", "warning": "bold yellow", "info": "bold blue"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the error through: rich would end the process."""
        raise BrokenPipeError


class ConsoleTarget:
    """Writes to `stream`; rich leaves colour out when NO_COLOR is set or it is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def send(self, message: Message) -> None:
        """One headline and its paragraphs, indented. Raises Transient when the stream is gone."""
        # A new console each time: one that failed keeps what it could not write.
        console = _Console(file=self._stream, highlight=False, soft_wrap=True)
        try:
            console.print(_text(message), end="")
        except OSError as error:
            raise Transient(f"the console cannot be written: {error!r}") from error


def _text(message: Message) -> Text:
    text = Text()
    resolved = message.status == "resolved"
    if resolved and message.lapsed:
        text.append("NO LONGER TOLD", style="bold")
    elif resolved:
        text.append("RESOLVED", style="bold green")
    else:
        text.append(message.severity.upper(), style=STYLES.get(message.severity, "bold"))
    text.append(f" {one_line(message.title)}", style="bold")
    text.append(f"  ({rfc3339(message.ended_at or message.started_at)}, {message.dedup_key})\n")
    for line in (message.why, *message.lines):
        if line:
            text.append(f"    {one_line(line)}\n")
    fields = "  ".join(f"{name}={value}" for name, value in message.fields.items())
    text.append(f"    {one_line(fields)}\n", style="dim")
    return text
