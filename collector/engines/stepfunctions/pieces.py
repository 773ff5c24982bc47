"""What AWS answered, taken apart for the store."""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from collector.engines.reading import Engine, Hints, Parts, Piece
from stallwatch.errors import InputError

log = logging.getLogger(__name__)


class Pieces:
    """Makes pieces of one namespace."""

    def __init__(self, engine: Engine, namespace: str) -> None:
        self._engine = engine
        self._namespace = namespace

    def of(
        self, document: Mapping[str, Any], now: datetime, historical: bool = False
    ) -> Iterator[Piece]:
        """A document as a piece; nothing if it says nothing."""
        parts = self.parts(document, now)
        if parts.fragments or parts.definitions:
            yield Piece(parts, self._namespace, historical=historical)

    def parts(self, document: Mapping[str, Any], now: datetime) -> Parts:
        """What a document says; nothing, and a line in the log, if it cannot be read: the rest goes on."""
        try:
            return self._engine.parts(document, Hints(now, self._namespace))
        except InputError as error:
            arn = document.get("executionArn") or document.get("stateMachineArn")
            log.warning(
                "what AWS answered cannot be read", extra={"arn": arn, "reason": str(error)}
            )
            return Parts()
