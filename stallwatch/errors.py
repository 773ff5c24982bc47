"""The tree of errors that rooms raise and the edges translate.

StallwatchError
├── UsageError            wrong usage, configuration or input: exit status 2, or HTTP 400
│   ├── ConfigError       names the key, the value and why
│   └── InputError        names the field (and the index or line where there is one)
├── Transient             something outside failed and may work later: try again with backoff
│   └── StoreUnavailable  the store cannot be reached or refuses for now
│       ├── StoreSilent       it says nothing at all
│       └── StoreOverBudget   a statement took longer than it was given
└── Permanent             something outside refused for good: trying again is useless
    └── StoreRefused      the store will never take this statement or these rows
"""


class StallwatchError(Exception):
    """Root of every error that Stallwatch raises on purpose."""


class UsageError(StallwatchError):
    """The person or program that called did something that cannot work as it is."""


class ConfigError(UsageError):
    """A setting is missing, unknown or wrong; the message names the key and the file."""


class InputError(UsageError):
    """Data that was sent is wrong; the message names the field."""


class Transient(StallwatchError):
    """An outside failure that may pass; `retry_after_s` is the other side's wish, if it has one."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreUnavailable(Transient):
    """The store cannot be reached now."""


class StoreSilent(StoreUnavailable):
    """The store says nothing: it accepted a connection, or did once, and does not answer."""


class StoreOverBudget(StoreUnavailable):
    """A statement took longer than it was given."""


class Permanent(StallwatchError):
    """An outside refusal that will not change by trying again."""


class StoreRefused(Permanent):
    """The store understood and refused."""
