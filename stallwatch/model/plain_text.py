"""Text of others for a person's eyes: nothing in it may act on a terminal."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    """The text with everything replaced that is not printed as it stands: escapes, line breaks, overrides."""
    return "".join(character if character.isprintable() else REPLACEMENT for character in text)


def harmless(text: str) -> str:
    """The same, but lines stay lines."""
    return "\n".join(one_line(line) for line in text.split("\n"))
