"""A server in the test's own process: the real application around a real bundle, asked without a network."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from trimtab.serve.app import application
from trimtab.serve.server import Server
from trimtab.serve.settings import Settings


@contextmanager
def client(bundle: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of a server; what is not set is as `trimtab serve` has it, with one thread."""
    server = Server(replace(Settings(str(bundle), threads=1), **settings))
    try:
        with TestClient(application(server)) as made:
            yield made
    finally:
        server.close()


@contextmanager
def listening(bundle: Path, **settings: Any) -> Iterator[tuple[str, Server]]:
    """A server that listens, in a thread of the test's own process: where it is asked, and what it is."""
    server = Server(replace(Settings(str(bundle), threads=1), **settings))
    heard = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(server), lifespan="off", ws="none", log_config=None)
    listener = uvicorn.Server(config)
    thread = threading.Thread(target=listener.run, kwargs={"sockets": [heard]}, daemon=True)
    thread.start()
    try:
        until(lambda: listener.started)
        yield f"http://127.0.0.1:{heard.getsockname()[1]}", server
    finally:
        listener.should_exit = True
        thread.join(30)
        server.close()


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What is found once it is there."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return value
