"""`POST /admin/reload`: another bundle, without a request being lost."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve import bodies, refusals
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Served
from trimtab.serve.server import Server


def endpoints(server: Server) -> list[Endpoint]:
    """`POST /admin/reload`, with an admin's key."""

    async def reload(request: Request) -> Response:
        body = await bodies.read(request, server.settings)
        bundle = _bundle(bodies.parsed(body)) if body else None
        outcome = await server.colleagues.reload(bundle or server.bundle)
        if "error" in outcome:
            raise Refused(409, f"not reloaded, the old bundle goes on answering: {outcome['error']}")
        return refusals.answer({name: value for name, value in outcome.items() if name != "re"})

    return [Endpoint("POST", "/admin/reload", reload, "admin", _operation)]


def _bundle(found: Any) -> str | None:
    """The folder that a request names; None: the same one again. Raises Refused."""
    if not isinstance(found, dict) or set(found) - {"bundle"} or not isinstance(found.get("bundle", ""), str):
        raise Refused(422, 'body: allowed: {"bundle": "/path/of/a/bundle"}, or nothing for the same folder again')
    return found.get("bundle")


def _operation(served: Served) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"bundle": {"type": "string"}}, "additionalProperties": False}
    return {
        "operationId": "reload",
        "summary": "Answer with another bundle, once every worker has loaded it and its golden rows agree.",
        "requestBody": {"content": {bodies.JSON: {"schema": schema}}},
        "responses": {"200": {"description": "it answers"}, **refusals.responses(401, 403, 409)},
    }
