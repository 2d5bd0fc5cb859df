"""The dashboard and TensorBoard on one port, behind one guard."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import logging
import re
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.engine.processes.signals import handled
from search.errors import SearchError, option
from search.monitoring import dashboard, guard
from search.study.storage.internals import study_id
from search.study.storage.open import open_storage
from search.study.study import load_study

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from optuna.storages import BaseStorage

PORT = 8080
_TRIES = 20
_TENSORBOARD = "/tensorboard"
_LARGEST = 2**20
"""Bytes of a request: a note or an uploaded file of up to 1 MB."""
_THREADS = 8
"""Requests at a time; a page of TensorBoard's asks up to six at once."""
_CONNECTIONS = 500
_FROM_ONE_ADDRESS = 100
"""Connections of one address. A further one ends that of them which has been idle for longest."""
_IDLE = 20
"""Seconds after which a connection without a request is ended."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """The words of who watches: where the page is served, to whom, and what it may do."""

    host: str = "127.0.0.1"
    port: int | None = None
    allowed_hosts: Sequence[str] = ()
    secret: guard.Secret | None = field(default=None, repr=False)
    read_only: bool = False
    tensorboard: bool = False


class Server:
    """Serves a storage's dashboard, and TensorBoard if asked for, from its making on until `close`.

    Raises SearchError if there is no such host, its port is taken, or it is open to a network without a secret. The
    server is waitress: it reads a request to its end before a thread sees it, so that slow clients hold none, and
    refuses (413) what is too large before it is read.
    """

    def __init__(self, storage: BaseStorage, words: Watching) -> None:
        from waitress.channel import HTTPChannel
        from waitress.server import create_server

        class Channel(HTTPChannel):  # type: ignore[misc] # waitress has no types
            """A connection, for which another of its address may have to go."""

            def __init__(self, server: Any, sock: socket.socket, addr: Any, adj: Any, map: Any = None) -> None:
                super().__init__(server, sock, addr, adj, map=map)
                others = [other for other in server.active_channels.values() if other.addr[:1] == addr[:1]]
                idle = [other for other in others if other is not self and not other.requests and not other.will_close]
                if len(others) > _FROM_ONE_ADDRESS and idle:
                    min(idle, key=lambda other: other.last_activity).will_close = True

        names = _names(words)
        self._socket = _bind(words)
        try:
            app = _application(storage, words)
            logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that requests wait is no news
            self._server = create_server(
                guard.guard(app, names, words.secret),
                sockets=[self._socket],
                threads=_THREADS,
                connection_limit=_CONNECTIONS,
                channel_timeout=_IDLE,
                cleanup_interval=_IDLE // 4,
                asyncore_use_poll=True,
                max_request_body_size=_LARGEST + 1,
                ident=None,
            )
            self._server.channel_class = Channel
        except BaseException:
            self._socket.close()
            raise
        host = words.host
        with contextlib.suppress(ValueError):
            host = socket.gethostname() if ipaddress.ip_address(host).is_unspecified else host
        place = f"[{host}]" if ":" in host else host
        self.address = f"http://{place}:{self._socket.getsockname()[1]}"

    def addresses(self, study: tuple[str, int] | None = None, tensorboard: bool = False) -> list[str]:
        """Lines for the terminal: what is where. `study`: a name and its id in the storage."""
        found = [("dashboard", "/dashboard")]
        found += [(study[0], f"/dashboard/studies/{study[1]}")] if study else []
        found += [("TensorBoard", f"{_TENSORBOARD}/")] if tensorboard else []
        width = max(len(name) for name, _ in found)
        return [f"{name:{width}}  {self.address}{path}" for name, path in found]

    def run(self) -> None:
        """Answer until KeyboardInterrupt, which ends it."""
        self._server.run()

    def close(self) -> None:
        """Let go of the port."""
        self._server.close()


def watch(storage: str, words: Watching, study: str | None = None) -> None:
    """Serve the storage at the URL `storage` until Ctrl-C or SIGTERM; print where. Raises SearchError."""
    opened = open_storage(storage)
    found = (study, study_id(load_study(storage, study))) if study is not None else None
    with handled(signal.default_int_handler, signal.SIGINT, signal.SIGTERM), contextlib.suppress(KeyboardInterrupt):
        server = Server(opened, words)
        try:
            print("\n".join([*server.addresses(found, words.tensorboard), "Ctrl-C ends it."]), flush=True)
            server.run()
        finally:
            server.close()


def check_words(words: Watching) -> None:
    """Raise SearchError where a Server of these words could not listen, before one is made."""
    _names(words)
    _bind(words).close()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. Raises SearchError if there is no such host."""
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in _resolve(host))


def _resolve(host: str) -> list[Any]:
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SearchError(f"{option('host', host)}: {getattr(error, 'strerror', None) or 'no such host'}") from None


def _names(words: Watching) -> set[str]:
    for name in words.allowed_hosts:
        if not re.fullmatch(r"[\w.-]+", name):
            raise SearchError(f"{option('allowed_host', name)}: write a name alone, such as dashboard.example.org")
    own = {socket.gethostname()} if not is_loopback(words.host) else set()
    return {name.lower().rstrip(".") for name in ("localhost", words.host, *own, *words.allowed_hosts)}


def _bind(words: Watching) -> socket.socket:
    """A listening socket: at the port that was asked for, else at PORT or the next free one."""
    if words.secret is None and not is_loopback(words.host):
        raise SearchError(
            f"{option('host', words.host)} opens the dashboard, and whatever it may change, to a network: "
            f"it needs a secret, {option('auth', 'FILE')} or SEARCH_AUTH"
        )
    family, kind, _, _, (address, *_) = _resolve(words.host)[0]
    ports = [words.port] if words.port is not None else range(PORT, PORT + _TRIES)
    for port in ports:
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, port))
        except OSError as error:
            listening.close()
            problem = error.strerror
        else:
            return listening
    taken = option("port", ports[0]) if len(ports) == 1 else f"ports {ports[0]} to {ports[-1]}"
    raise SearchError(f"{taken} on {words.host}: {problem}; {option('port')} names another, 0 takes any that is free")


def _application(storage: BaseStorage, words: Watching) -> WSGIApplication:
    from optuna.artifacts import FileSystemArtifactStore
    from optuna_dashboard import wsgi

    shown: WSGIApplication = wsgi(storage, artifact_store=FileSystemArtifactStore(dashboard.ARTIFACTS))
    if words.read_only:
        shown = guard.read_only(shown)
    else:
        dashboard.ARTIFACTS.mkdir(parents=True, exist_ok=True)  # for what is uploaded
    if not words.tensorboard:
        return shown
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    board = _tensorboard(Path("runs"), words.secret is not None)
    return DispatcherMiddleware(shown, {_TENSORBOARD: board})  # it reads by POST, too


def _tensorboard(folder: Path, private: bool) -> WSGIApplication:
    """TensorBoard on the event files below `folder`; the process that reads them ends with this one.

    `private`: this process reads them itself. The other is faster, and answers every account of the machine.
    """
    from tensorboard import default, program

    made: list[WSGIApplication] = []

    class Kept:
        """In place of a server of TensorBoard's own."""

        def __init__(self, app: WSGIApplication, flags: Any) -> None:
            made.append(app)

        def serve_forever(self) -> None: ...
        def get_url(self) -> str:
            return ""

    board = program.TensorBoard(default.get_static_plugins(), server_class=Kept)
    board.configure(logdir=str(folder), load_fast="false" if private else "auto")
    with contextlib.redirect_stderr(io.StringIO()):  # a notice on how it reads files
        board.launch()
    return made[0]
