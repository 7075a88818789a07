"""What a client is told when a request is not answered: a status, a message that names the field, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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


class Refused(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    def response(self, plain: bool = False) -> Response:
        """The answer to the client."""
        return refusal(self.status, self.message, self.headers, plain)


def refusal(status: int, message: str = "", headers: Mapping[str, str] | None = None, plain: bool = False) -> Response:
    """`{"error": {"status": 422, "message": ...}}`; `plain`: `{"error": ...}`."""
    said = visible(message or _WORDS.get(status, "refused"))
    return answer({"error": said if plain else {"status": status, "message": said}}, status, headers)


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
