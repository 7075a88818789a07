"""The application: every endpoint of the folder `routes/`, and what happens around each of them."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.serve.bodies import Held
from trimtab.serve.endpoints import Endpoint, every
from trimtab.serve.refusals import Refused, refusal
from trimtab.serve.server import Server

_log = logging.getLogger("trimtab.serve")
_access = logging.getLogger("trimtab.serve.access")
_GONE = 499  # as nginx counts requests whose client went away; nobody reads it


def application(server: Server) -> Starlette:
    """The ASGI application of a server."""
    found = every(server)
    paths = dict.fromkeys(endpoint.path for endpoint in found)
    made = [_route(server, path, [one for one in found if one.path == path]) for path in paths]
    app = Starlette(routes=made, exception_handlers={HTTPException: _unknown})
    if server.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(server.settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-api-key"],
        )
    return app


def _route(server: Server, path: str, found: Sequence[Endpoint]) -> Route:
    """The methods of one address."""
    by_method = {endpoint.method: endpoint for endpoint in found}

    async def answer(request: Request) -> Response:
        start = time.perf_counter()
        method = "GET" if request.method == "HEAD" and "HEAD" not in by_method else request.method
        request.state.held = held = Held(server.room)
        try:
            response = await _answered(server, by_method[method], request)
        finally:
            held.give()
        seconds = time.perf_counter() - start
        server.metrics.request(path, response.status_code, seconds)
        if random.random() < server.settings.access_log:
            told = {"time": round(time.time(), 3), "method": method, "route": path, "status": response.status_code}
            who = getattr(request.state, "name", "")  # and nothing of what was asked
            _access.info(json.dumps({**told, "ms": round(1000 * seconds, 2), "who": who}))
        if method == "POST":  # the page's own questions are none of the traffic that it shows
            server.traffic.request(path, response.status_code, seconds, getattr(request.state, "rows", None))
        return response

    return Route(path, answer, methods=list(by_method))


async def _answered(server: Server, endpoint: Endpoint, request: Request) -> Response:
    try:
        request.state.name = server.guard.admit(request, endpoint.access)
        return await endpoint.handle(request)
    except Refused as refused:
        return refused.response(endpoint.refusals)
    except ClientDisconnect:
        return Response(status_code=_GONE)
    except Exception:
        _log.exception("%s %s", endpoint.method, endpoint.path)  # for us; the client is told that it was our fault
        return refusal(500, shape=endpoint.refusals)


async def _unknown(request: Request, error: Exception) -> Response:
    """No such address, or no such method at it."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, headers=error.headers)
