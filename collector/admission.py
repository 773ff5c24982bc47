"""Who may send, as whom, and how much: the one place that both transports ask before they take anything."""

import hmac
import threading
from dataclasses import dataclass
from typing import Final

from collector import senders
from collector.meters import Meters
from collector.refusals import Busy, Unauthorized
from stallwatch.clock import Clock
from stallwatch.config.settings import CollectorConfig
from stallwatch.config.tokens import Token, TokenFile, token_in
from stallwatch.errors import InputError

DEFAULT_NAMESPACE: Final = "default"
BURST_S: Final = 2.0
"""How many seconds of its rate a sender may have saved up."""
WAIT_MAX_S: Final = 60.0
"""The longest wait that is asked for: a sender that waits longer loses what it has meanwhile."""

WAIT_MIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends. `namespace` is where what it sends belongs; `pinned`: nothing it sends may say otherwise."""

    name: str
    namespace: str = DEFAULT_NAMESPACE
    pinned: bool = False
    allowance: "Allowance | None" = None

    def charge(self, items: int, size_bytes: int) -> None:
        """Count what is about to be stored against the sender's rate. Raises Busy when it is used up."""
        if self.allowance is not None:
            self.allowance.charge(items, size_bytes)

    def check_namespace(self, namespace: str) -> None:
        """Raises InputError if an event of another namespace than the token's is sent."""
        if self.pinned and namespace != self.namespace:
            raise InputError(
                f"namespace: the token is for {self.namespace!r}, the event says {namespace[:100]!r}"
            )


class Admission:
    """Knows the tokens and what each sender has used. Thread-safe."""

    def __init__(
        self, config: CollectorConfig, clock: Clock, meters: Meters, local_token: str = ""
    ) -> None:
        """`local_token` is the one of this machine's commands, which may say any namespace.

        Raises ConfigError on a bad tokens file.
        """
        self._clock = clock
        self._meters = meters
        self._local_token = local_token
        path = config.tokens_file
        self._tokens = None if path is None else TokenFile(path, "collector.tokens_file", clock)
        self._allowances: dict[str, Allowance] = {}

    def admit(
        self,
        authorization: str | None,
        said: str | None,
        address: str,
        agent: str | None,
        certificate: str = "",
    ) -> Sender:
        """The sender of a request, before its body is read.

        `authorization`, `said` (stallwatch-sender) and `agent` (user-agent) are its headers, `address` is as
        `senders.plain_address` spells it, `certificate` is the name in a verified client certificate.
        Raises Unauthorized, and Busy when the sender's rate is used up.
        """
        if self._tokens is None:
            return Sender(senders.sender_name(said, address, agent, known=certificate))
        presented = token_in(authorization)
        if presented and self._is_local(presented):
            return Sender(senders.sender_name(said, address, agent))
        token = self._token(presented)
        allowance = self._allowance(token)
        allowance.check()
        return Sender(
            senders.sender_name(said, address, agent, known=token.name),
            token.namespace or DEFAULT_NAMESPACE,
            bool(token.namespace),
            allowance,
        )

    @property
    def needs_token(self) -> bool:
        """Whether anyone is sent away for having none."""
        return self._tokens is not None

    def authenticate(self, authorization: str | None) -> None:
        """Raises Unauthorized unless a token is known; for a look before anything else is."""
        presented = token_in(authorization)
        if self._tokens is not None and not (presented and self._is_local(presented)):
            self._token(presented)

    def _token(self, presented: str | None) -> Token:
        assert self._tokens is not None
        if presented is None:
            self._meters.unauthorized.labels("missing").inc()
            raise Unauthorized("a token is needed: send the header Authorization: Bearer TOKEN")
        token = self._tokens.find(presented)
        if token is None:
            self._meters.unauthorized.labels("unknown").inc()
            raise Unauthorized("the token is not known here")
        return token

    def _is_local(self, presented: str) -> bool:
        return bool(self._local_token) and hmac.compare_digest(
            presented.encode(), self._local_token.encode()
        )

    def _allowance(self, token: Token) -> "Allowance":
        """What the token has used so far; a token whose rates were changed begins anew."""
        known = self._allowances.get(token.name)
        if known is None or known.token != token:
            known = self._allowances[token.name] = Allowance(token, self._clock, self._meters)
        return known


class Allowance:
    """How much a token may still send now.

    What a request costs is known when it has been read, and refusing it then would waste that: whoever has anything
    left may send one request of any size, and waits afterwards until the debt is paid.
    """

    def __init__(self, token: Token, clock: Clock, meters: Meters) -> None:
        self.token = token
        self._clock = clock
        self._meters = meters
        self._lock = threading.Lock()
        self._rates = (token.items_per_second, token.bytes_per_second)
        self._left = [BURST_S * rate for rate in self._rates]
        self._at_s = clock.monotonic_s()

    def check(self) -> None:
        """Raises Busy, with the time to wait, when nothing is left."""
        if any(self._rates):
            with self._lock:
                self._refill()
                self._refuse_if_used_up()

    def charge(self, items: int, size_bytes: int) -> None:
        """Take items and bytes; raises Busy, and takes nothing, when nothing is left."""
        if any(self._rates):
            with self._lock:
                self._refill()
                self._refuse_if_used_up()
                for index, amount in enumerate((items, size_bytes)):
                    self._left[index] -= amount

    def _refill(self) -> None:
        now_s = self._clock.monotonic_s()
        for index, rate in enumerate(self._rates):
            saved = self._left[index] + (now_s - self._at_s) * rate
            self._left[index] = min(BURST_S * rate, saved)
        self._at_s = now_s

    def _refuse_if_used_up(self) -> None:
        for rate, left, what in zip(
            self._rates, self._left, ("spans and events", "bytes"), strict=True
        ):
            if rate and left <= 0:
                self._meters.limited.labels("rate").inc()
                wait_s = min(WAIT_MAX_S, -left / rate)
                raise Busy(
                    f"{self.token.name} may send {rate} {what} a second and sent more: send again later",
                    max(wait_s, WAIT_MIN_S),
                )
