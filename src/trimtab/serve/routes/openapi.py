"""`/openapi.json`: every endpoint, the schemas of rows and answers, and golden rows of the bundle as examples."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab import __version__
from trimtab.serve import refusals, schemas
from trimtab.serve.endpoints import Endpoint, every
from trimtab.serve.served import Served
from trimtab.serve.server import Server

# What any request may be told that is read: operations add their own.
_REFUSALS = (400, 401, 408, 413, 415, 422, 429, 504)


def endpoints(server: Server) -> list[Endpoint]:
    """`GET /openapi.json`."""

    async def openapi(request: Request) -> Response:
        return refusals.answer(document(server.served, every(server)))

    return [Endpoint("GET", "/openapi.json", openapi)]


def document(served: Served, found: list[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document of a bundle."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in found:
        operation = endpoint.operation(served) if endpoint.operation else {}
        if operation:
            asks = "requestBody" in operation
            told = {**operation["responses"], **(refusals.responses(*_REFUSALS) if asks else {})}
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = {**operation, "responses": told}
    named = {"Row": schemas.row(served.model), "Answered": schemas.answered(served.model), "Error": refusals.SCHEMA}
    info = {"title": served.name, "version": served.hash[:12], "description": f"Served by Trimtab {__version__}."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": named}}
