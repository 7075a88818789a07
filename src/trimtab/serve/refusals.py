"""What a client is told when a request is not answered: a status, a message that names the field, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from starlette.responses import Response

from trimtab.errors import visible

_WORDS = {
    400: "the request cannot be read",
    401: "no valid key",
    403: "not allowed",
    404: "no such address",
    405: "no such method at this address",
    408: "the request took too long to arrive",
    409: "it would not do any good",
    413: "the request is too large",
    415: "the request is of a kind that is not read",
    422: "the request says something that cannot be answered",
    429: "too many requests",
    500: "a fault of the server",
    503: "not ready",
    504: "not answered in time",
}


# How a refusal is written: `{"error": {"status": 422, "message": ...}}`; `{"error": ...}`, as the Open Inference
# Protocol has it; as OpenAI has it, with `type`, `param` and `code`.
Shape = Literal["own", "plain", "openai"]
# Of a status, the type and the code that OpenAI's clients look at.
_OPENAI = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", None),
    504: ("server_error", "timeout"),
}


class Refused(Exception):
    """A request that is not answered; `field` is the one of a body that is at fault."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers, self.field = status, message, headers, field

    def response(self, shape: Shape = "own") -> Response:
        """The answer to the client."""
        return answer(self.told(shape), self.status, self.headers)

    def told(self, shape: Shape = "own") -> dict[str, Any]:
        """What the client is told, as JSON."""
        return told(self.status, self.message, shape, self.field)


def refusal(status: int, message: str = "", headers: Mapping[str, str] | None = None, shape: Shape = "own") -> Response:
    """A request that is not answered."""
    return answer(told(status, message, shape), status, headers)


def told(status: int, message: str = "", shape: Shape = "own", field: str | None = None) -> dict[str, Any]:
    """What a client is told, as JSON."""
    said = visible(message or _WORDS.get(status, "refused"))
    if shape == "openai":
        kind, code = _OPENAI.get(status, ("invalid_request_error", None))
        return {"error": {"message": said, "type": kind, "param": field, "code": code}}
    return {"error": said if shape == "plain" else {"status": status, "message": said}}


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII alone, for texts may hold halves of surrogate pairs, which UTF-8 has no bytes for."""
    body = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(body, status, dict(headers or {}), "application/json")


SCHEMA = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"status": {"type": "integer"}, "message": {"type": "string"}},
            "required": ["status", "message"],
        }
    },
    "required": ["error"],
}


def responses(*statuses: int) -> dict[str, Any]:
    """The refusals of an operation, as OpenAPI has them."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(status): {"description": _WORDS[status], "content": content} for status in statuses}
