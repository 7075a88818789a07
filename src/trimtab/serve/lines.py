"""What processes of a server say to each other: JSON, a line each, asked and answered in both directions."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_LONGEST = 1 << 24  # bytes of a line: a report of a worker


class Line:
    """One end of a line. `answer` answers what the other end asks."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._reader, self._writer, self._answer = reader, writer, answer
        self._numbers = itertools.count()
        self._open: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """What the other end answers. Raises ConnectionError where it is gone."""
        number = next(self._numbers)
        future = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"ask": number, "do": do, **more})
            answer: dict[str, Any] = await future
            return answer
        finally:
            self._open.pop(number, None)

    async def run(self) -> None:
        """Read until the other end is gone."""
        try:
            while text := await self._reader.readline():
                self._take(json.loads(text))
        except (ConnectionError, ValueError):  # a line that the end of a process cut off
            pass
        finally:
            for future in self._open.values():
                if not future.done():
                    future.set_exception(ConnectionError("the other process is gone"))
            self._open.clear()
            self._writer.close()

    def _take(self, message: dict[str, Any]) -> None:
        if "re" in message:
            future = self._open.get(message["re"])
            if future and not future.done():
                future.set_result(message)
            return
        task = asyncio.ensure_future(self._reply(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, message: Mapping[str, Any]) -> None:
        found = await self._answer(message)
        self._send({"re": message["ask"], **found})

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._writer.is_closing():
            raise ConnectionError("the other process is gone")
        self._writer.write(json.dumps(message).encode() + b"\n")


async def opened(sock: Any, answer: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]) -> Line:
    """A line over one of a pair of sockets."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=_LONGEST)
    return Line(reader, writer, answer)


def outcome_in_words(outcome: Mapping[str, Any]) -> str:
    """What became of a reload, for people."""
    if "error" in outcome:
        return f"not reloaded, the old bundle goes on answering: {outcome['error']}"
    return f"reloaded: {str(outcome.get('bundle'))[:12]} answers"
