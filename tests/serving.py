"""A server in the test's own process: the real application around a real bundle, asked without a network."""

from __future__ import annotations

from collections.abc import Iterator
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
    with TestClient(application(server)) as made:
        yield made
