"""What a server promises under load: the same answers in whatever company, bounds, turns, and no work for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest
import tiny_bundle

from trimtab import runtime
from trimtab.columns import EncodedRows
from trimtab.programs import Graphs, Program, Ran
from trimtab.serve.batching import Batcher
from trimtab.serve.bodies import Asked
from trimtab.serve.metrics import Metrics
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Answers, Served
from trimtab.serve.writing import Writing

Result = TypeVar("Result")
WORDS = ["warm", "funny", "dull", "cold", "soup", "staff", "not", "bad"]


@dataclass(frozen=True)
class Held(Program):
    """A network that computes nothing until it is let, or for a while: a fault, for the tests of queues."""

    graphs: ClassVar[tuple[str, ...]] = ("model",)
    inner_program: Program
    let: threading.Event
    seen: list[int]
    seconds: float = 20.0

    def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
        self.seen.append(len(rows))
        self.let.wait(self.seconds)
        return self.inner_program.run(graphs, rows)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    return runtime.load(tiny_bundle.build(tmp_path_factory.mktemp("served")), threads=1)


def texts(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(5)
    lengths = random.integers(1, 14, count)
    return [
        {"review": " ".join(random.choice(WORDS, length)), "stars": str(place % 5), "shop": "north"}
        for place, length in enumerate(lengths)
    ]


def ran(model: runtime.Model, work: Callable[[Served], Awaitable[Result]], **bounds: Any) -> tuple[Result, list[int]]:
    """What some work gives beside a server's own parts, and how many rows each batch had."""
    batches: list[int] = []
    limits = {"most_rows": 1000, "most_megabytes": 64.0, **bounds}

    async def whole() -> Result:
        with ThreadPoolExecutor(1) as compute, ThreadPoolExecutor(1) as readers:
            batcher = Batcher(compute, 1, told=lambda rows, seconds: batches.append(rows), **limits)
            return await work(Served(model, batcher, Writing(1000, Metrics()), readers))

    return asyncio.run(whole()), batches


def soon(seconds: float = 20.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def test_answers_do_not_depend_on_who_is_computed_beside(model: runtime.Model) -> None:
    rows = texts(200)
    asked = [Asked([row]) for row in rows[:150]] + [Asked(rows[150:])]

    async def all_at_once(served: Served) -> list[Answers]:
        return await asyncio.gather(*(served.answer(one, soon()) for one in asked))

    found, batches = ran(model, all_at_once)
    assert [row for one in found for row in one.rows] == model.predict(rows).rows()
    assert sum(batches) == len(rows)
    assert len(batches) < len(rows) / 2  # they were computed together


def test_a_row_that_is_alone_waits_for_nobody(model: runtime.Model) -> None:
    async def one_by_one(served: Served) -> list[Answers]:
        return [await served.answer(Asked([row]), soon()) for row in texts(5)]

    _, batches = ran(model, one_by_one)
    assert batches == [1] * 5


def test_a_full_queue_refuses_with_the_time_to_come_back(model: runtime.Model) -> None:
    held = replace(model, program=Held(None, model.program, threading.Event(), []))

    async def crowd(served: Served) -> tuple[list[Any], Answers]:
        waiting = [asyncio.create_task(served.answer(Asked(texts(1)), soon()))]
        await asyncio.sleep(0.1)
        waiting += [asyncio.create_task(served.answer(Asked([row]), soon())) for row in texts(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(Refused) as refused:
            await served.answer(Asked(texts(3)), soon())
        held.program.let.set()
        await asyncio.gather(*waiting)
        return [refused.value.status, *(refused.value.headers or {})], await served.answer(Asked(texts(3)), soon())

    (said, later), _ = ran(held, crowd, most_rows=3)
    assert said == [429, "Retry-After"]
    assert len(later.rows) == 3  # and they do not stay away for ever


def test_a_request_larger_than_the_queue_is_answered_when_nobody_waits(model: runtime.Model) -> None:
    async def large(served: Served) -> Answers:
        return await served.answer(Asked(texts(50)), soon())

    found, _ = ran(model, large, most_rows=5)
    assert len(found.rows) == 50


def test_an_answer_that_comes_too_late_is_refused_and_nothing_is_computed_for_who_went_away(
    model: runtime.Model,
) -> None:
    held = replace(model, program=Held(None, model.program, threading.Event(), []))

    async def impatient(served: Served) -> list[int]:
        first = asyncio.create_task(served.answer(Asked(texts(1)), soon()))
        await asyncio.sleep(0.1)
        gone = asyncio.create_task(served.answer(Asked(texts(40)), soon()))
        await asyncio.sleep(0.1)
        gone.cancel()
        with pytest.raises(Refused) as late:
            await served.answer(Asked(texts(7)), soon(0.1))
        held.program.let.set()
        await first
        await served.answer(Asked(texts(2)[:1]), soon())
        return [late.value.status]

    statuses, _ = ran(held, impatient)
    assert statuses == [504]
    assert held.program.seen == [1, 1]


def test_a_request_of_many_rows_takes_turns_with_others(model: runtime.Model) -> None:
    order: list[str] = []
    slow = replace(model, program=Held(None, model.program, threading.Event(), [], seconds=0.005))

    async def named(served: Served, name: str, rows: list[dict[str, Any]]) -> None:
        await served.answer(Asked(rows), soon())
        order.append(name)

    async def mixed(served: Served) -> None:
        await served.answer(Asked(texts(20)), soon())  # it is known now what a row takes
        many = asyncio.create_task(named(served, "many", texts(300)))
        await asyncio.sleep(0.02)
        few = [asyncio.create_task(named(served, "few", texts(1))) for _ in range(3)]
        await asyncio.gather(many, *few)

    ran(slow, mixed)
    assert order == ["few", "few", "few", "many"]


def test_an_error_of_the_network_reaches_those_who_asked_and_no_others(model: runtime.Model) -> None:
    class Broken(Held):
        def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
            raise RuntimeError("broken")

    broken = replace(model, program=Broken(None, model.program, threading.Event(), []))

    async def both(served: Served) -> tuple[BaseException | Answers, Answers]:
        other = replace(served, model=broken)
        failed, fine = await asyncio.gather(
            other.answer(Asked(texts(1)), soon()), served.answer(Asked(texts(1)), soon()), return_exceptions=True
        )
        assert isinstance(fine, Answers)
        return failed, fine

    (failed, fine), _ = ran(model, both)
    assert str(failed) == "broken"
    assert fine.rows == model.predict(texts(1)).rows()
