"""Which of the spans that Stallwatch could show are told of while they are open."""

from collections.abc import Callable
from fnmatch import fnmatchcase

from opentelemetry.sdk.trace import ReadableSpan

Choose = Callable[[ReadableSpan], bool]


def by_name(*globs: str) -> Choose:
    """Only spans whose name matches one of `globs` (`*`, `?`, `[…]`; case matters)."""
    if not globs:
        raise ValueError("by_name: at least one glob is needed")

    def matches(span: ReadableSpan) -> bool:
        return any(fnmatchcase(span.name, glob) for glob in globs)

    return matches
