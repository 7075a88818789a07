"""`/healthz`, `/readyz`: whether the process lives, and whether it takes requests."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import answer
from trimtab.serve.served import Served
from trimtab.serve.server import Server


def endpoints(server: Server) -> list[Endpoint]:
    """Both addresses; nobody needs a key for them."""

    async def alive(request: Request) -> Response:
        return answer({"status": "alive"})

    async def ready(request: Request) -> Response:
        served = server.served
        said = {"ready": not server.draining, "name": served.name, "bundle": served.hash}
        return answer(said, 503 if server.draining else 200)

    return [
        Endpoint("GET", "/healthz", alive, "open", _says("alive", "The process lives.")),
        Endpoint("GET", "/readyz", ready, "open", _says("ready", "Whether it takes requests, and of which bundle.")),
    ]


def _says(name: str, summary: str) -> Any:
    def operation(served: Served) -> dict[str, Any]:
        return {"operationId": name, "summary": summary, "responses": {"200": {"description": "yes"}}}

    return operation
