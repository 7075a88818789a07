"""What a server can be asked: each file of `routes/` has `endpoints(server)`, which gives some of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab import registry
from trimtab.serve import routes
from trimtab.serve.guard import Access
from trimtab.serve.refusals import Shape
from trimtab.serve.served import Served
from trimtab.serve.server import Server


@dataclass(frozen=True)
class Endpoint:
    """An address, what answers there, and who may ask."""

    method: str
    path: str  # as Starlette writes it: /v2/models/{name}
    handle: Callable[[Request], Awaitable[Response]]
    access: Access = "key"  # open: anyone; key: who has a key, where keys are asked for; admin: the admin's token
    operation: Callable[[Served], dict[str, Any]] | None = (
        None  # what /openapi.json says of it; None, or nothing: it does not
    )
    refusals: Shape = "own"  # how clients are told that they are not answered


def every(server: Server) -> list[Endpoint]:
    """What the files of `routes/` answer, file by file."""
    names = registry.names(routes.__name__)
    made = (registry.load(routes.__name__, name, "endpoints", f"serve: {name}") for name in names)
    return [endpoint for make in made for endpoint in make(server)]
