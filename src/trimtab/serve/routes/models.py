"""`GET /v1/models`: the bundle that is served, as OpenAI's clients ask for it."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve import refusals
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Served
from trimtab.serve.server import Server


def endpoints(server: Server) -> list[Endpoint]:
    """`GET /v1/models`, and of one by its name."""
    since = int(time.time())

    def told() -> dict[str, Any]:
        return {"id": server.served.name, "object": "model", "created": since, "owned_by": "trimtab"}

    async def models(request: Request) -> Response:
        return refusals.answer({"object": "list", "data": [told()]})

    async def model(request: Request) -> Response:
        if request.path_params["name"] != server.served.name:
            raise Refused(404, f"no model of that name; there is {server.served.name!r}", field="model")
        return refusals.answer(told())

    return [
        Endpoint("GET", "/v1/models", models, operation=_operation, refusals="openai"),
        Endpoint("GET", "/v1/models/{name}", model, refusals="openai"),
    ]


def _operation(served: Served) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    said = {"200": {"description": "a list of one", "content": content}}
    return {"operationId": "models", "summary": "The bundle, as OpenAI's clients ask for it.", "responses": said}
