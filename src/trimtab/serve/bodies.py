"""From the bytes of a request to rows: JSON or a form, bounded in size, depth and time."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from trimtab.errors import brief
from trimtab.serve.refusals import Refused
from trimtab.serve.settings import Settings

JSON, FORM = "application/json", "multipart/form-data"
_DEEPEST = 20  # lists and objects in each other
_MOST_PARTS = 1_000  # of a form
MOST_TOP = 1_000


@dataclass(frozen=True)
class Asked:
    """The rows of a request."""

    rows: list[Mapping[str, Any]]
    top: int = 1
    single: bool = False  # one row was sent by itself, and its answer goes back by itself


class Room:
    """How many bytes of bodies a worker holds at a time, all requests together."""

    def __init__(self, megabytes: float) -> None:
        self._left = round(megabytes * 1e6)

    def take(self, size: int) -> None:
        """Raises Refused where there is no room for so many more."""
        if size > self._left:
            raise Refused(429, "the server holds as many bytes of requests as it may", {"Retry-After": "1"})
        self._left -= size

    def give(self, size: int) -> None:
        """So many are held no more."""
        self._left += size


class Held:
    """What one request holds of a room."""

    def __init__(self, room: Room) -> None:
        self._room, self._size = room, 0

    def take(self, size: int) -> None:
        """Hold more. Raises Refused where there is no room."""
        self._room.take(size)
        self._size += size

    def give(self) -> None:
        """All of it."""
        self._room.give(self._size)
        self._size = 0


async def read(request: Request, settings: Settings) -> bytes:
    """The whole body. Raises Refused for one that is too large, too slow, or compressed."""
    most = round(settings.megabytes * 1e6)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "content-encoding: bodies are read as they are, and not unpacked")
    promised = request.headers.get("content-length", "0")
    if promised.isdecimal() and int(promised[:20]) > most:
        raise _too_large(settings)
    body, held = bytearray(), request.state.held
    try:
        async with asyncio.timeout(settings.body_timeout):
            async for part in request.stream():
                body += part
                held.take(len(part))
                if len(body) > most:
                    raise _too_large(settings)
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {settings.body_timeout:g} seconds") from None
    return bytes(body)


def _too_large(settings: Settings) -> Refused:
    return Refused(413, f"body: at most {settings.megabytes:g} MB are read", {"Connection": "close"})


async def asked(request: Request, settings: Settings, columns: frozenset[str]) -> Asked:
    """The rows of a request. Raises Refused for what holds none; `columns` are the inputs' names."""
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    top = _top(request.query_params.get("top", "1"))
    if kind == FORM:
        return Asked([await _form(request.headers, await read(request, settings))], top, True)
    if kind != JSON and not kind.endswith("+json"):
        raise Refused(415, f"content-type: found {kind[:100]!r}; allowed: {JSON} or {FORM}")
    found = rows_of(parsed(await read(request, settings)), columns, top)
    if len(found.rows) > settings.rows:
        raise Refused(413, f"rows: found {len(found.rows):,}; at most {settings.rows:,} in one request")
    return found


def parsed(body: bytes) -> Any:
    """A body of JSON; NaN and Infinity, which Python writes, are read. Raises Refused."""
    try:
        return json.loads(body)
    except RecursionError:
        raise Refused(400, "body: lists and objects stand too deep in each other") from None
    except ValueError as error:
        raise Refused(400, brief(f"body: not JSON ({error})")) from None


def rows_of(found: Any, columns: frozenset[str], top: int = 1) -> Asked:
    """The rows of a JSON value: a row, a list of rows, or `{"rows": [...], "top": 3}`. Raises Refused."""
    if isinstance(found, list):
        return Asked([_row(row, f"row {place}") for place, row in enumerate(found)], top)
    if isinstance(found, dict) and "rows" in found and "rows" not in columns:
        if not isinstance(found["rows"], list):
            raise Refused(422, 'rows: found no list; allowed: [{"column": value}, ...]')
        if strange := sorted(set(found) - {"rows", "top"}):
            raise Refused(422, brief(f"{strange[0]!r}: not known beside rows; allowed: rows, top"))
        rows = [_row(row, f"row {place}") for place, row in enumerate(found["rows"])]
        return Asked(rows, _top(found["top"]) if "top" in found else top)
    return Asked([_row(found, "body")], top, True)


_KINDS = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def _row(row: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        found = _KINDS.get(type(row), "a number")
        raise Refused(422, f'{where}: found {found}; allowed: an object, {{"column": value}}')
    for name, value in row.items():
        if isinstance(value, (list, dict)) and _depth(value) > _DEEPEST:
            raise Refused(422, brief(f"{where}: {name}: lists and objects stand more than {_DEEPEST} deep"))
    return row


def _depth(value: Any) -> int:
    """How deep lists and objects stand in each other, counted as far as it matters."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, (list, dict))
        ]
        depth += 1
    return depth


def _top(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 9 else value
    if isinstance(number, float) and math.isfinite(number) and number == int(number):
        number = int(number)
    if type(number) is not int or not 1 <= number <= MOST_TOP:
        raise Refused(422, f"top: found {value!r:.80}; allowed: a whole number, 1 to {MOST_TOP:,}")
    return number


# -------------------------------------------------------------------------------------------------------- forms


class _InMemory(MultiPartParser):
    """Nothing of a request is ever written to a disk: its size is bounded already."""

    spool_max_size = 1 << 40


async def _form(headers: Headers, body: bytes) -> dict[str, Any]:
    """One row of a form: a part for each column, a file's content as bytes. Raises Refused."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    if "boundary=" not in headers.get("content-type", ""):
        raise Refused(400, "content-type: multipart/form-data without a boundary")
    parser = _InMemory(
        headers, stream(), max_files=_MOST_PARTS, max_fields=_MOST_PARTS, max_part_size=max(1, len(body))
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as error:  # a charset that is not known
        raise Refused(400, brief(f"body: not a form ({getattr(error, 'message', error)})")) from None
    parts = form.multi_items()
    names = [name for name, _ in parts]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Refused(422, brief(f"{twice}: two parts of that name; a form holds one row"))
    return {name: await value.read() if isinstance(value, UploadFile) else value for name, value in parts}
