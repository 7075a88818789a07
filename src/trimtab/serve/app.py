"""The application: every endpoint of the folder `routes/`, and what happens around each of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.serve.endpoints import Endpoint, every
from trimtab.serve.refusals import Refused, refusal
from trimtab.serve.server import Server

_log = logging.getLogger("trimtab.serve")
_GONE = 499  # as nginx counts requests whose client went away; nobody reads it


def application(server: Server) -> Starlette:
    """The ASGI application of a server."""
    found = every(server)
    paths = dict.fromkeys(endpoint.path for endpoint in found)
    made = [_route(server, path, [one for one in found if one.path == path]) for path in paths]
    return Starlette(routes=made, exception_handlers={HTTPException: _unknown})


def _route(server: Server, path: str, found: Sequence[Endpoint]) -> Route:
    """The methods of one address."""
    by_method = {endpoint.method: endpoint for endpoint in found}

    async def answer(request: Request) -> Response:
        start = time.perf_counter()
        method = "GET" if request.method == "HEAD" and "HEAD" not in by_method else request.method
        response = await _answered(server, by_method[method], request)
        server.metrics.request(path, response.status_code, time.perf_counter() - start)
        return response

    return Route(path, answer, methods=list(by_method))


async def _answered(server: Server, endpoint: Endpoint, request: Request) -> Response:
    try:
        request.state.name = server.guard.admit(request, endpoint.access)
        return await endpoint.handle(request)
    except Refused as refused:
        return refused.response(endpoint.plain_refusals)
    except ClientDisconnect:
        return Response(status_code=_GONE)
    except Exception:
        _log.exception("%s %s", endpoint.method, endpoint.path)  # for us; the client is told that it was our fault
        return refusal(500, plain=endpoint.plain_refusals)


async def _unknown(request: Request, error: Exception) -> Response:
    """No such address, or no such method at it."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, headers=error.headers)
