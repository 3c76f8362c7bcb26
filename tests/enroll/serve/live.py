"""A server that listens, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enroll.serve import ServeConfig, create_app
from enroll.serve.server import Server, bind, uvicorn_config
from tests.conftest import ToyExtractor

WAIT = 30.0  # seconds; the machine may be busy


@dataclass(frozen=True)
class Live:
    """A server that runs.

    Attributes:
        address: http://HOST:PORT
        port: of it.
        app: the application.
        server: uvicorn's.
    """

    address: str
    port: int
    app: Any
    server: Server

    def talk(self, *sent: bytes, wait: float = WAIT) -> bytes:
        """Send bytes on a connection of its own; gives all that is answered until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            for part in sent:
                connection.sendall(part)
            answered = b""
            while more := connection.recv(65536):
                answered += more
            return answered


@contextmanager
def listening(folder: Path, extractor: Any = None, **given: Any) -> Iterator[Live]:
    """Run a server of a folder's gallery on a free port until the block ends."""
    config = ServeConfig(gallery=str(folder / "gallery.db"), port=0, **{"threads": 2, **given})
    app = create_app(config, extractor or ToyExtractor())
    sock = bind(config)
    server = Server(uvicorn_config(app, config))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    started = threading.Event()
    try:
        for _ in range(int(WAIT / 0.05)):
            if server.started or not thread.is_alive():
                break
            started.wait(0.05)
        assert server.started, "the server did not start"
        port = sock.getsockname()[1]
        yield Live(f"http://127.0.0.1:{port}", port, app, server)
    finally:
        server.should_exit = True
        app.state.services.engine.stopping.set()
        thread.join(WAIT)
        assert not thread.is_alive(), "the server did not end"
