"""Text of others for a person's eyes: nothing in it may act on a terminal, and no word is a programming language's."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    """The text with everything replaced that is not printed as it stands: escapes, line breaks, overrides."""
    return "".join(character if character.isprintable() else REPLACEMENT for character in text)


def harmless(text: str) -> str:
    """The same, but lines stay lines."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def json_type(value: object) -> str:
    """What a decoded value is in JSON's words: who sent it did not write Python."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "something else"
