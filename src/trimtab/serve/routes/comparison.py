"""`GET /admin/comparison`: what another bundle answers beside the one that is served."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve import comparison, refusals
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Served
from trimtab.serve.server import Server


def endpoints(server: Server) -> list[Endpoint]:
    """`GET /admin/comparison`, with an admin's key."""

    async def compared(request: Request) -> Response:
        if server.beside is None:
            raise Refused(409, "no other bundle is asked; start the server with --shadow BUNDLE")
        told = await server.colleagues.gather("comparison")
        return refusals.answer(comparison.report(told))

    return [Endpoint("GET", "/admin/comparison", compared, "admin", _operation)]


def _operation(served: Served) -> dict[str, Any]:
    said = {"200": {"description": "agreement, times and answers of both"}, **refusals.responses(401, 403, 409)}
    return {"operationId": "comparison", "summary": "What the other bundle answers.", "responses": said}
