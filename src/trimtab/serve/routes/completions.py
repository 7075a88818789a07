"""`POST /v1/completions`, `POST /v1/chat/completions`: texts, as OpenAI's clients ask for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from trimtab.columns import EncodedRows
from trimtab.errors import TrimtabError
from trimtab.runtime import Decoding, Pieces, Said
from trimtab.serve import bodies, completions, refusals
from trimtab.serve.completions import Asked, Chat, ChatWording, Completion, Tokens, Wording
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Served
from trimtab.serve.server import Server, unless_gone
from trimtab.serve.writing import place
from trimtab.values.problems import Problem
from trimtab.watch.log import new_id

Result = TypeVar("Result")

_KINDS: dict[str, tuple[type[Asked], type[Wording], str]] = {
    "/v1/completions": (Completion, Wording, "A text behind a prompt, as OpenAI's clients ask for it."),
    "/v1/chat/completions": (Chat, ChatWording, "A message behind one of the user, as OpenAI's clients ask for it."),
}


def endpoints(server: Server) -> list[Endpoint]:
    """Both addresses."""
    return [
        Endpoint(
            "POST", path, partial(_answered, server, kind, wording), operation=_says(kind, said), refusals="openai"
        )
        for path, (kind, wording, said) in _KINDS.items()
    ]


async def _answered(server: Server, kind: type[Asked], wording: type[Wording], request: Request) -> Response:
    asked = completions.read(kind, bodies.parsed(await bodies.read(request, server.settings)))
    served = server.served
    if not served.writes:
        raise Refused(404, f"{served.name} writes no texts: ask POST /predict")
    if asked.model not in (served.name, served.hash):
        raise Refused(404, f"no model named {asked.model[:80]!r}; there is {served.name!r}", field="model")
    rows = completions.rows(asked, served.model)
    request.state.rows = len(rows)
    if len(rows) > server.settings.rows:
        raise Refused(400, f"prompt: found {len(rows):,}; at most {server.settings.rows:,}", field="prompt")
    longest = served.model.program.options.longest
    ways = completions.decodings(asked, served.model, server.settings.tokens or longest)
    encoded, problems = await _read(served, asked, rows)
    job = _Job(server, served, rows, encoded, problems, ways, wording.of(asked, new_id(), served.name))
    return await job.streamed(request) if asked.stream else await job.whole(request)


async def _read(
    served: Served, asked: Asked, rows: Sequence[Mapping[str, Any]]
) -> tuple[EncodedRows, Sequence[Problem]]:
    """The rows, read; of a conversation the last one, which holds what was said before."""
    if not asked.history:
        return await served.read(rows)
    earlier = completions.before(asked, rows[0])
    encoded, problems = await served.read([*earlier, *rows])
    try:
        said = served.model.conversed(encoded, [answer for _, answer in asked.history])
    except TrimtabError as error:
        raise Refused(400, str(error), field="messages") from None
    return said, [replace(one, row=0) for one in problems if one.row == len(earlier)]


class _Job:
    """The answers to one request, some to each of its prompts."""

    def __init__(
        self,
        server: Server,
        served: Served,
        rows: Sequence[Mapping[str, Any]],
        encoded: EncodedRows,
        problems: Sequence[Problem],
        ways: Sequence[Decoding],  # of the answers to a prompt
        wording: Wording,
    ) -> None:
        self._server, self._served, self._wording = server, served, wording
        self._rows, self._encoded, self._problems = rows, encoded, problems
        self._each, self._start = len(ways), time.perf_counter()
        every = [way for _ in rows for way in ways]
        output = served.model.output
        self._pieces = [Pieces(output.text, way.stop, output.verbatim) for way in every]
        self._said: list[Said] = []
        copies = encoded.take(np.repeat(np.arange(len(rows)), len(ways)))
        self._asked = server.writing.ask(served.model, copies, every, server.deadline())

    async def whole(self, request: Request) -> Response:
        """The answers, when all are there."""
        await self._until(request, self._all())
        for one in self._said:
            self._pieces[place(one)].add(one)
        self._done()
        ends = {place(one): one.end for one in self._said if one.end}
        told = self._wording.whole(self._pieces, [ends[row] for row in range(len(ends))], self._tokens())
        return refusals.answer(told)

    async def _all(self) -> None:
        async for one in self._asked.said():
            self._said.append(one)

    async def streamed(self, request: Request) -> Response:
        """The answers, piece by piece; what goes wrong before the first one is told as of any other request."""
        said = self._asked.said()
        first = await self._until(request, _next(said))
        return _Streamed(self._wording.streamed(self._heard(first, said), self._pieces, self._tokens), self._done)

    async def _heard(self, first: Said, said: AsyncIterator[Said]) -> AsyncIterator[Said]:
        self._said.append(first)
        yield first
        async for one in said:
            self._said.append(one)
            yield one

    async def _until(self, request: Request, work: Coroutine[Any, Any, Result]) -> Result:
        """What some work gives; where it gives nothing, nothing more is written."""
        try:
            return await unless_gone(request, work)
        except BaseException as error:
            self._server.writing.leave(self._asked)
            if isinstance(error, Refused) and self._server.recording:
                self._server.recording.failed(self._served, error.status, time.perf_counter() - self._start)
            raise

    def _tokens(self) -> Tokens:
        return Tokens(self._asked.prompts, sum(len(one.ids) for one in self._said))

    def _done(self) -> None:
        """Nobody listens any more; the first answer to each prompt is recorded, where all are whole."""
        self._server.writing.leave(self._asked)
        if self._server.recording and sum(bool(one.end) for one in self._said) == len(self._pieces):
            first = [one for one in self._said if place(one) % self._each == 0]
            own = [one._replace(key=place(one) // self._each) for one in first]
            outputs = self._served.model.program.gathered(own, len(self._rows))
            found = self._served.worded(outputs, self._encoded, self._problems, 1)
            found = replace(found, ids=[self._wording.id, *found.ids[1:]])
            seconds = time.perf_counter() - self._start
            self._server.recording.answered(self._served, bodies.Asked(list(self._rows)), found, seconds)


async def _next(said: AsyncIterator[Said]) -> Said:
    return await anext(said)


class _Streamed(StreamingResponse):
    """Events; whatever ends them, `done` is called."""

    def __init__(self, events: Any, done: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_UNHELD)
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()


_UNHELD = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # proxies pass pieces on as they come


def _says(kind: type[Asked], summary: str) -> Callable[[Served], dict[str, Any]]:
    def operation(served: Served) -> dict[str, Any]:
        if not served.writes:
            return {}
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        content = {bodies.JSON: {"schema": {"type": "object", "required": schema["required"]}}}
        return {
            "operationId": kind.__name__.lower(),
            "summary": summary,
            "requestBody": {"required": True, "content": content},
            "responses": {"200": {"description": "the answer; with `stream` events that are sent as it is written"}},
        }

    return operation
