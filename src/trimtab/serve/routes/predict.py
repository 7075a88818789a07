"""`POST /predict`: a row or several, and what the bundle answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve import bodies, refusals, schemas
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.served import Answers, Served
from trimtab.serve.server import Server
from trimtab.values.problems import Problem


def endpoints(server: Server) -> list[Endpoint]:
    """`POST /predict`."""

    async def predict(request: Request) -> Response:
        asked = await bodies.asked(request, server.settings, server.served.columns)
        served, found = await server.answer(request, asked)
        return refusals.answer(content(served, found, asked.single))

    return [Endpoint("POST", "/predict", predict, operation=operation)]


def content(served: Served, found: Answers, single: bool) -> dict[str, Any]:
    """What a client gets: of one row by itself its answer, else a list of them; each has an id, for feedback."""
    rows = [
        {"id": id, "answer": row, "problems": [told(one) for one in problems]}
        for id, row, problems in zip(found.ids, found.rows, found.problems, strict=True)
    ]
    return {**rows[0], "bundle": served.hash} if single else {"answers": rows, "bundle": served.hash}


def told(problem: Problem) -> dict[str, Any]:
    """A problem as clients are told of it, its row aside."""
    fields = asdict(problem)
    return {name: fields[name] for name in ("column", "kind", "reason", "lost")}


def operation(served: Served) -> dict[str, Any]:
    """For OpenAPI."""
    return {
        "operationId": "predict",
        "summary": f"Answer rows: {', '.join(c.name for c in served.model.inputs)} -> {served.model.output.name}",
        "parameters": [
            {
                "name": "top",
                "in": "query",
                "description": "the best answers of each row, in order, beside the answer",
                "schema": {"type": "integer", "minimum": 1, "maximum": bodies.MOST_TOP, "default": 1},
            }
        ],
        "requestBody": {"required": True, "content": schemas.request(served)},
        "responses": {"200": schemas.response(served)},
    }
