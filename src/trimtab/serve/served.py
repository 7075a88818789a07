"""A bundle that answers requests: its model, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, TypeVar

from trimtab import runtime
from trimtab.columns import EncodedRows, Outputs
from trimtab.errors import TrimtabError
from trimtab.runtime import Model, read_golden
from trimtab.serve.batching import Batcher
from trimtab.serve.bodies import Asked
from trimtab.serve.refusals import Refused
from trimtab.serve.writing import Writing
from trimtab.values.problems import Problem
from trimtab.watch.log import new_id
from trimtab.watch.sketch import Sketcher

_EXAMPLES = 3  # golden rows that OpenAPI shows
_LARGE = 2_000  # characters of a value from which one example is enough
_FEW = 8  # rows that are read and worded where they arrive; more, pictures and sounds are left to a thread
_SHORT = 20_000  # characters of all texts of such rows

Result = TypeVar("Result")


@dataclass(frozen=True)
class Answers:
    """The answers to the rows of a request, in their order."""

    rows: list[dict[str, Any]]
    problems: list[list[Problem]]  # of each row
    outputs: Outputs  # what the network gave
    encoded: EncodedRows  # what the rows became
    ids: list[str]  # of the answers: what feedback names


@dataclass(frozen=True)
class Served:
    """A bundle that answers. Nothing in it changes: another bundle is another one of these."""

    model: Model
    batcher: Batcher
    writing: Writing
    readers: Executor  # for rows that take long to read

    @cached_property
    def columns(self) -> frozenset[str]:
        """The names of the inputs."""
        return frozenset(column.name for column in self.model.inputs)

    @cached_property
    def name(self) -> str:
        """What the launch called it."""
        return self.model.manifest.name

    @cached_property
    def sketcher(self) -> Sketcher:
        """What the log keeps of rows, by which drift is told."""
        return Sketcher.of(self.model)

    @property
    def hash(self) -> str:
        """What decides its answers, 64 hexadecimal digits."""
        return self.model.serving.hash

    @cached_property
    def _files(self) -> bool:
        return any(column.from_files for column in self.model.inputs)

    async def answer(self, asked: Asked, deadline: float, later: float = 0.0) -> Answers:
        """What `Model.predict` gives for the rows of a request; `deadline` is a time of the event loop.

        Who asks with `later` lets those go first who come up to so many seconds after him. Raises Refused where that
        raises TrimtabError, and where there is no room or time left.
        """
        quick = self._quick(asked.rows)
        rows, problems = await self.read(asked.rows)
        if self.writes:
            outputs = await self._written(rows, deadline)
        else:
            outputs = await self.batcher.outputs(self.model, rows, deadline, later)
        return await self._done(quick, partial(self.worded, outputs, rows, problems, asked.top))

    async def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[EncodedRows, tuple[Problem, ...]]:
        """Rows as the networks take them, and what is wrong with their values. Raises Refused for what cannot be."""
        try:
            return await self._done(self._quick(rows), partial(self._read, rows))
        except TrimtabError as error:
            raise Refused(422, str(error)) from None

    @property
    def writes(self) -> bool:
        """Whether its answers are written token by token."""
        return self.model.writes

    async def _written(self, rows: EncodedRows, deadline: float) -> Outputs:
        """What `Model.outputs` gives, written together with the rows of other requests."""
        asked = self.writing.ask(self.model, rows, [self.model.program.options] * len(rows), deadline)
        try:
            return self.model.program.gathered([said async for said in asked.said()], len(rows))
        finally:
            self.writing.leave(asked)

    def _quick(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        return not self._files and len(rows) <= _FEW and sum(map(_size, rows)) <= _SHORT

    async def _done(self, quick: bool, work: Callable[[], Result]) -> Result:
        return work() if quick else await asyncio.get_running_loop().run_in_executor(self.readers, work)

    def _read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[EncodedRows, tuple[Problem, ...]]:
        if len(rows) > self.model.most_read:
            raise Refused(413, f"rows: found {len(rows):,}; at most {self.model.most_read:,} in one request")
        return self.model.read(rows)

    def worded(self, outputs: Outputs, rows: EncodedRows, problems: Sequence[Problem], top: int) -> Answers:
        """What outputs say, row by row."""
        found = runtime.Predictions(outputs, self.model.output.decode(outputs, top))
        told: list[list[Problem]] = [[] for _ in range(len(found))]
        for one in problems:
            told[one.row].append(one)
        return Answers(found.rows(), told, outputs, rows, [new_id() for _ in range(len(found))])

    @cached_property
    def examples(self) -> list[Mapping[str, Any]]:
        """Some golden rows of the bundle; of pictures and sounds one."""
        if self.model.folder is None:
            return []
        rows = [line["row"] for line in islice(read_golden(self.model.folder), _EXAMPLES)]
        large = any(isinstance(value, str) and len(value) > _LARGE for row in rows for value in row.values())
        return rows[:1] if large else rows


def _size(row: Mapping[str, Any]) -> int:
    """About how much there is to read in a row."""
    return sum(len(value) if isinstance(value, (str, bytes, list, dict)) else 1 for value in row.values())
