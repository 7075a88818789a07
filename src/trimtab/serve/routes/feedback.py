"""`POST /feedback`: what was right, said later of an answer by its id."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import TrimtabError
from trimtab.serve import bodies, refusals
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Served
from trimtab.serve.server import Server
from trimtab.watch.log import Label, checked_label

_KEYS = {"id", "column", "value"}


def endpoints(server: Server) -> list[Endpoint]:
    """`POST /feedback`."""

    async def feedback(request: Request) -> Response:
        if server.recording is None:
            raise Refused(409, "no answers are recorded here: the server was started with --log off")
        found = bodies.parsed(await bodies.read(request, server.settings))
        listed = found if isinstance(found, list) else [found]
        if len(listed) > server.settings.rows:
            raise Refused(413, f"found {len(listed):,}; at most {server.settings.rows:,} in one request")
        labels = [_label(one, place, server.served) for place, one in enumerate(listed)]
        server.recording.labelled(labels)
        return refusals.answer({"recorded": len(labels)})

    return [Endpoint("POST", "/feedback", feedback, operation=_operation)]


def _label(found: Any, place: int, served: Served) -> Label:
    """Of `{"id": ..., "value": ...}`, and `column` where there are several. Raises Refused."""
    output = served.model.output
    columns = list(output.sources or (output.name,))
    where = f"feedback {place}"
    if not isinstance(found, dict) or not {"id", "value"} <= set(found) <= _KEYS:
        raise Refused(422, f'{where}: allowed: {{"id": "...", "column": "{columns[0]}", "value": "..."}}')
    column = found.get("column", columns[0] if len(columns) == 1 else None)
    try:
        label = checked_label(found["id"], column, found["value"], columns)
    except TrimtabError as error:
        raise Refused(422, str(error)) from None
    value = found["value"]
    asked = {name: value if name == column else None for name in columns} if output.sources else value
    if reason := output.usable(asked):
        raise Refused(422, f"{where}: {column}: {reason}")
    return label


def _operation(served: Served) -> dict[str, Any]:
    column = served.model.output.name
    one = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "that came with the answer"},
            "column": {"type": "string", "default": column},
            "value": {"description": "the right answer"},
        },
        "required": ["id", "value"],
        "additionalProperties": False,
    }
    schema = {"anyOf": [one, {"type": "array", "items": one}]}
    return {
        "operationId": "feedback",
        "summary": "Say later what was right.",
        "requestBody": {"required": True, "content": {bodies.JSON: {"schema": schema}}},
        "responses": {"200": {"description": "it is recorded"}, **refusals.responses(409)},
    }
