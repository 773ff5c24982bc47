"""HTTP servers in threads of their own, on sockets that are bound before anything is promised."""

import logging
import resource
import socket
import ssl
import threading
from typing import Any, Final

import uvicorn
from prometheus_client import Counter

from stallwatch.app.connections import HEAD_S, connections
from stallwatch.errors import UsageError

BACKLOG: Final = 2048
MAX_CONNECTIONS: Final = 1000
KEEP_ALIVE_S: Final = 65
"""Longer than senders pause between two exports: whoever closes first should not be the server."""
OPEN_FILES: Final = 65_536
GRACE_S: Final = 5
JOIN_S: Final = 15.0
_log = logging.getLogger(__name__)


def bind(key: str, address: str) -> socket.socket:
    """A listening TCP socket on `host:port`; UsageError names the setting when that cannot be."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as error:
        raise UsageError(f"{key} = {address}: {error.strerror or error}") from None
    return listener


def address_of(listener: socket.socket) -> str:
    """`host:port` as it was really bound (port 0 chooses one)."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def allow_open_files() -> None:
    """Raise this process's limit of open files as far as it may: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        # Some systems allow less than they say. What was allowed before will do.
        _log.warning("the limit of open files stays at %d: %s", soft, error)


class HttpServer:
    """One ASGI application on one socket, with TLS if there is a context."""

    def __init__(
        self,
        name: str,
        app: Any,
        listener: socket.socket,
        ended: Counter,
        tls: ssl.SSLContext | None = None,
        max_connections: int = MAX_CONNECTIONS,
        head_s: float = HEAD_S,
    ) -> None:
        """`ended`: counts the connections that it ends, under `name`."""
        # It tells at INFO what `serve` tells already.
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self.name = name
        self.address = address_of(listener)
        self.url = f"{'http' if tls is None else 'https'}://{self.address}"
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=connections(name, ended, max_connections, head_s),  # type: ignore[arg-type]
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            log_config=None,
            access_log=False,
            lifespan="off",
            # Who is local decides what is allowed: no header may claim to be.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name=name, daemon=True
        )

    def start(self) -> None:
        """Serve from now on (connections made before this waited in the backlog)."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what has begun, then end."""
        self._server.should_exit = True
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            _log.warning("a server did not end in time", extra={"server": self._thread.name})
        self._listener.close()
