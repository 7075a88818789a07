"""`GET /metrics`, for Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve.endpoints import Endpoint
from trimtab.serve.served import Served
from trimtab.serve.server import Server


def endpoints(server: Server) -> list[Endpoint]:
    """`GET /metrics`."""

    async def metrics(request: Request) -> Response:
        return Response(server.figures(), media_type=CONTENT_TYPE_LATEST)

    return [Endpoint("GET", "/metrics", metrics, operation=_operation)]


def _operation(served: Served) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    said = {"200": {"description": "the text format of Prometheus", "content": content}}
    return {"operationId": "metrics", "summary": "What was counted, for Prometheus.", "responses": said}
