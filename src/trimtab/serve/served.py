"""A bundle that answers requests: its model, and the schemas and examples that are told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from trimtab import runtime
from trimtab.errors import TrimtabError
from trimtab.runtime import Model, read_golden
from trimtab.serve.bodies import Asked
from trimtab.serve.refusals import Refused
from trimtab.values.problems import Problem

_EXAMPLES = 3  # golden rows that OpenAPI shows
_LARGE = 2_000  # characters of a value from which one example is enough


@dataclass(frozen=True)
class Answers:
    """The answers to the rows of a request, in their order."""

    rows: list[dict[str, Any]]
    problems: list[list[Problem]]  # of each row


@dataclass(frozen=True)
class Served:
    """A bundle that answers. Nothing in it changes: another bundle is another one of these."""

    model: Model
    executor: Executor

    @cached_property
    def columns(self) -> frozenset[str]:
        """The names of the inputs."""
        return frozenset(column.name for column in self.model.inputs)

    @cached_property
    def name(self) -> str:
        """What the launch called it."""
        return self.model.manifest.name

    @property
    def hash(self) -> str:
        """What decides its answers, 64 hexadecimal digits."""
        return self.model.serving.hash

    async def answer(self, asked: Asked) -> Answers:
        """What `Model.predict` gives for the rows of a request. Raises Refused where that raises TrimtabError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, self._answer, asked)

    def _answer(self, asked: Asked) -> Answers:
        try:
            encoded, problems = self.model.read(asked.rows)
        except TrimtabError as error:
            raise Refused(422, str(error)) from None
        outputs = self.model.outputs(encoded)
        return decoded(self.model, outputs, problems, asked.top)

    @cached_property
    def examples(self) -> list[Mapping[str, Any]]:
        """Some golden rows of the bundle; of pictures and sounds one."""
        if self.model.folder is None:
            return []
        rows = [line["row"] for line in islice(read_golden(self.model.folder), _EXAMPLES)]
        large = any(isinstance(value, str) and len(value) > _LARGE for row in rows for value in row.values())
        return rows[:1] if large else rows


def decoded(model: Model, outputs: Any, problems: Sequence[Problem], top: int) -> Answers:
    """What outputs say, row by row."""
    found = runtime.Predictions(outputs, model.output.decode(outputs, top))
    told: list[list[Problem]] = [[] for _ in range(len(found))]
    for one in problems:
        told[one.row].append(one)
    return Answers(found.rows(), told)
