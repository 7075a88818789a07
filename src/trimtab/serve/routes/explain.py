"""`POST /explain`: what each word, patch or cell of a row adds to the score of its answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from trimtab import columns, explain
from trimtab.errors import TrimtabError, nearest
from trimtab.explain import Explanation
from trimtab.runtime import Graph, Model
from trimtab.serve import bodies, refusals, schemas
from trimtab.serve.aside import Aside, Stopped
from trimtab.serve.bodies import Asked
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import Refused
from trimtab.serve.routes.predict import told
from trimtab.serve.served import Served
from trimtab.serve.server import Server, unless_gone

MOST_ROWS = 8  # of one request
LEAST_CALLS, CALLS, MOST_CALLS = 16, 256, 512  # further answers that one row is explained by
METHODS = ("shapley", "occlusion")  # those that ask for answers alone
WAITING = 4  # requests behind the one that is at work
_LISTED = 200  # names that a schema lists
_PLACE = (
    "of a text: first and last character; of a picture: top, left, bottom, right, as shares of the frame; of a sound: "
    "from, to, in seconds; of a history: first and last event; empty for a whole value"
)


@dataclass(frozen=True)
class Wanted:
    """What is to be explained, and how."""

    asked: Asked
    method: str
    calls: int
    answer: str | None  # the class or number; None: what is answered


@dataclass(frozen=True)
class Ready:
    """A bundle, ready to be explained."""

    served: Served
    seen: Mapping[str, Mapping[str, np.ndarray]]  # what training looked like


@dataclass(frozen=True)
class _Interruptible(Graph):
    """A network that ends between two batches where nobody waits for it."""

    stop: Event | None = None

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.stop and self.stop.is_set():
            raise Stopped
        return super().run(tensors)


class Explaining:
    """Explains rows, aside of the answers."""

    def __init__(self, server: Server) -> None:
        self.aside = Aside("explain", WAITING)
        self.seconds = server.settings.timeout
        self._ready: Ready | None = None

    async def explain(self, served: Served, wanted: Wanted) -> list[dict[str, Any]]:
        """Each row with its explanation. Raises Refused."""
        return await self.aside.run(lambda stop: self._explained(served, wanted, stop), self.seconds)

    def _explained(self, served: Served, wanted: Wanted, stop: Event) -> list[dict[str, Any]]:
        if self._ready is None or self._ready.served is not served:
            self._ready = Ready(served, explain.reference_of(served.model))
        model = _single(served.model, stop)
        try:
            _, problems = model.read(wanted.asked.rows)
            found = [self._one(model, row, wanted) for row in wanted.asked.rows]
        except TrimtabError as error:
            raise Refused(422, str(error)) from None
        return [
            {**as_json(one), "problems": [told(problem) for problem in problems if problem.row == place]}
            for place, one in enumerate(found)
        ]

    def _one(self, model: Model, row: Mapping[str, Any], wanted: Wanted) -> Explanation:
        assert self._ready is not None
        question = explain.ask(model, row, self._ready.seen, wanted.answer)
        return explain.explain(question, wanted.method, wanted.calls)


def _single(model: Model, stop: Event) -> Model:
    """The same networks, computed by the calling thread alone: the others are for answers."""
    graphs = {
        name: _Interruptible(graph.beside.session if graph.beside else graph.session, graph.entry, None, stop)
        for name, graph in model.graphs.items()
    }
    return replace(model, graphs=graphs)


def as_json(one: Explanation) -> dict[str, Any]:
    """An explanation; numbers that are none, of networks that overflow, are null."""
    said = one.as_json()
    units = [{**unit, **{part: _finite(unit[part]) for part in ("contribution", "error")}} for unit in said["units"]]
    words = {"answer": said["answers"], "explained": said["name"], "scale": said["scale"], "method": said["method"]}
    return {**words, **{name: _finite(said[name]) for name in ("score", "base", "delta")}, "units": units}


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


# ----------------------------------------------------------------------------------------------------- the endpoint


def endpoints(server: Server) -> list[Endpoint]:
    """`POST /explain`."""
    explaining = Explaining(server)

    async def answer(request: Request) -> Response:
        served = server.served
        wanted = await _wanted(request, server, served)
        request.state.rows = len(wanted.asked.rows)
        found = await unless_gone(request, explaining.explain(served, wanted))
        content = found[0] if wanted.asked.single else {"explanations": found}
        return refusals.answer({**content, "bundle": served.hash})

    return [Endpoint("POST", "/explain", answer, operation=operation)]


async def _wanted(request: Request, server: Server, served: Served) -> Wanted:
    """Raises Refused."""
    if reason := explain.refusal(served.model.output):
        raise Refused(422, f"answers of type {columns.word(served.model.output.type)} are not explained: {reason}")
    query = request.query_params
    method, calls = query.get("method", METHODS[0]), query.get("calls", str(CALLS))
    if method not in METHODS:
        raise Refused(422, f"method: found {method!r:.80}; allowed: {nearest(method, METHODS)}")
    if not (calls.isascii() and calls.isdecimal() and len(calls) < 5 and LEAST_CALLS <= int(calls) <= MOST_CALLS):
        raise Refused(422, f"calls: found {calls!r:.80}; allowed: a whole number, {LEAST_CALLS} to {MOST_CALLS}")
    asked = await bodies.asked(request, server.settings, served.columns)
    if len(asked.rows) > MOST_ROWS:
        raise Refused(413, f"rows: found {len(asked.rows):,}; at most {MOST_ROWS} are explained at once")
    return Wanted(asked, method, int(calls), query.get("class"))


def operation(served: Served) -> dict[str, Any]:
    """For OpenAPI."""
    output = served.model.output
    reason = explain.refusal(output)
    summary = f"What each part of a row adds to the score of its {output.name}; {MOST_ROWS} rows at most"
    names = output.score_names
    listed = {"type": "string", "enum": list(names)} if len(names) <= _LISTED else {"type": "string"}
    calls = {"type": "integer", "minimum": LEAST_CALLS, "maximum": MOST_CALLS, "default": CALLS}
    parameters = [
        _parameter("class", "what is explained; by default what is answered", listed),
        _parameter("method", "Shapley values, or what leaving out one unit changes", {"enum": list(METHODS)}),
        _parameter("calls", "further answers that one row is explained by", calls),
    ]
    return {
        "operationId": "explain",
        "summary": f"Refused: {reason}" if reason else summary,
        "parameters": parameters,
        "requestBody": {"required": True, "content": schemas.request(served)},
        "responses": {"200": _response()},
    }


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _response() -> dict[str, Any]:
    number = {"type": ["number", "null"]}
    unit = {
        "type": "object",
        "properties": {
            "column": {"type": "string"},
            "label": {"type": "string", "description": "the word, the cell, where the patch is"},
            "place": {"type": "array", "items": {"type": "number"}, "description": _PLACE},
            "contribution": {**number, "description": "added to the score; below 0 it speaks against the answer"},
            "error": {**number, "description": "the standard error of the contribution"},
        },
        "required": ["column", "label", "place", "contribution", "error"],
    }
    explained = {
        "type": "object",
        "properties": {
            "answer": {"type": "object"},
            "explained": {"type": "string", "description": "the class or number whose score is explained"},
            "scale": {"type": "string"},
            "method": {"type": "string", "enum": list(METHODS)},
            "score": {**number, "description": "base + contributions + delta"},
            "base": {**number, "description": "the score of the row without any of its units"},
            "delta": {**number, "description": "what the method leaves unexplained"},
            "units": {"type": "array", "items": unit},
            "problems": {"type": "array"},
        },
        "required": ["answer", "explained", "scale", "method", "score", "base", "delta", "units", "problems"],
    }
    several = {"type": "object", "properties": {"explanations": {"type": "array", "items": explained}}}
    shown = {"anyOf": [explained, {**several, "required": ["explanations"]}]}
    return {"description": "the units of the row, in its order", "content": {bodies.JSON: {"schema": shown}}}
