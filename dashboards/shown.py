"""Text of others on a page: a browser obeys what turns the direction of writing, as a terminal does."""

from markupsafe import Markup

from stallwatch.model.plain_text import harmless


def shown(value: object) -> object:
    """What a template writes of a value; what is no text stays as it is."""
    if isinstance(value, Markup):
        return Markup(harmless(value))
    return harmless(value) if isinstance(value, str) else value
