"""What a reader is told when the store is away or refuses. Why is only logged: it names addresses, users and paths."""

import logging
from typing import Final

from stallwatch.errors import StoreRefused, StoreUnavailable

RETRY_AFTER: Final = {"Retry-After": "5"}
_log = logging.getLogger(__name__)


def sentence(error: StoreUnavailable | StoreRefused) -> str:
    """For whoever asked; the reason goes to the log."""
    _log.warning("a reader was told to come again", extra={"reason": str(error)})
    if isinstance(error, StoreUnavailable):
        return "the store is away: what it holds cannot be read now, ask again soon"
    return "the store refuses: what it holds cannot be read until that is mended, and the service's log says why"
