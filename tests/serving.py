"""A server in the test's own process: the real application around a real bundle, asked without a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What is found once it is there."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return value
