"""How much is in the spool, and whose: counted in memory, so that a request need not ask the disk."""

from collections import Counter


class Tally:
    """Records and bytes, in all and by sender."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.records = 0
        self.bytes_of: Counter[tuple[str, str]] = Counter()
        """By sender and namespace; none is left at zero."""
        self._by_sender: Counter[str] = Counter()

    def has(self, sender: str) -> bool:
        """Whether there is anything of a sender."""
        return self._by_sender[sender] > 0

    def count(self, sender: str, namespace: str, size_bytes: int, records: int) -> None:
        """Count records in, or out with numbers below zero."""
        self.size_bytes += size_bytes
        self.records += records
        self._by_sender[sender] += records
        self.bytes_of[sender, namespace] += size_bytes
        if self._by_sender[sender] <= 0:
            del self._by_sender[sender]
        if self.bytes_of[sender, namespace] <= 0:
            del self.bytes_of[sender, namespace]
