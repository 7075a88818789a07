"""How long the audit of a bundle takes: the checks are carried out on a network of which little is computed.

Of each batch one row is computed, and the others get nearly its answer; what the whole batches would have taken is
timed on some of them afterwards. So everything but the network is real: how many rows a check answers, the baselines,
the resampling.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from trimtab import checks
from trimtab.checks import Context, Finding
from trimtab.runtime import Graph, Model

_TIMED = 2.0  # seconds of whole batches that are really computed, for each network
_NOISE = 0.05  # of an answer's spread: rows of a batch are not all alike
_NO_ANSWER = 1e8  # outputs beyond stand for what is left out, such as items that a user had
_EXAMPLES = 2  # batches of about a size that are kept to be timed
_GROWTH = 1.5  # between sizes that count as about the same


@dataclass(frozen=True)
class _Kind:
    """Batches of about a size, computed one at a time or several beside each other."""

    graph: str
    size: int  # the power of `_GROWTH` that numbers in its tensors lie at
    beside: bool


class _Notes:
    """What was asked of the networks, and how long the little took that was computed of it."""

    def __init__(self) -> None:
        self.asked: Counter[_Kind] = Counter()
        self.examples: dict[_Kind, list[Mapping[str, np.ndarray]]] = {}
        self.seconds = 0.0
        self.lock = Lock()

    def add(self, kind: _Kind, tensors: Mapping[str, np.ndarray], seconds: float) -> None:
        """A batch."""
        with self.lock:
            self.asked[kind] += 1
            self.seconds += seconds
            kept = self.examples.setdefault(kind, [])
            if len(kept) < _EXAMPLES:
                kept.append(dict(tensors))


@dataclass(frozen=True)
class _Sketch(Graph):
    """A network that computes the first row of each batch alone."""

    name: str = ""
    notes: _Notes = field(default_factory=_Notes, repr=False, compare=False)

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Graph.run`."""
        return self._sketched(tensors, beside=False)

    def run_each(self, batches: Sequence[Callable[[], Mapping[str, np.ndarray]]]) -> list[dict[str, np.ndarray]]:
        """See `Graph.run_each`."""
        beside = self.beside is not None and len(batches) > 1
        return [self._sketched(tensors(), beside) for tensors in batches]

    def _sketched(self, tensors: Mapping[str, np.ndarray], beside: bool) -> dict[str, np.ndarray]:
        given = {name: tensors[name] for name in self.entry.inputs}
        rows = {len(one) if one.ndim else 0 for one in given.values()}
        count = rows.pop() if len(rows) == 1 else 0
        begun = time.perf_counter()
        found = super().run({name: one[:1] for name, one in given.items()} if count else given)
        numbers = sum(one.size for one in given.values())
        kind = _Kind(self.name, round(math.log(max(1, numbers), _GROWTH)), beside)
        self.notes.add(kind, given, time.perf_counter() - begun)
        return {name: _spread(one, count) for name, one in found.items()} if count else found


def _spread(answers: np.ndarray, rows: int) -> np.ndarray:
    """The answer to one row as that to many, which differ a little."""
    many = np.repeat(answers, rows, axis=0)
    if not np.issubdtype(many.dtype, np.floating) or rows == 1:
        return many
    told = answers[np.abs(answers) < _NO_ANSWER]
    spread = float(told.std()) if told.size else 0.0
    noise = np.random.default_rng(rows).normal(size=many.shape) * _NOISE * max(1e-3, spread)
    return np.asarray(many + noise, many.dtype)


@dataclass(frozen=True)
class Looked:
    """What a check, or another part of the audit, took: seconds beside the networks, and what it asked of them."""

    seconds: float
    asked: Counter[_Kind]


class Rehearsal:
    """The checks of a model, on less of it."""

    def __init__(self, model: Model) -> None:
        self.real, self.notes = model, _Notes()
        self.evidence: dict[str, Any] = {}  # that the checks gave last
        self.model = model
        for name, graph in model.graphs.items():
            parts = {one.name: getattr(graph, one.name) for one in dataclasses.fields(graph)}
            self.model = self.model.replace(name, _Sketch(**parts, name=name, notes=self.notes))

    def look(self, work: Callable[[], object]) -> Looked:
        """Carry out some work of the audit."""
        before, spent = Counter(self.notes.asked), self.notes.seconds
        begun = time.perf_counter()
        work()
        taken = time.perf_counter() - begun - (self.notes.seconds - spent)
        return Looked(max(0.0, taken), self.notes.asked - before)

    def checks(self, context: Context) -> dict[str, Looked]:
        """Every check on rows of its context; one that knows better what it takes says so itself."""
        found: dict[str, Looked] = {}
        own, real = dataclasses.replace(context, model=self.model), dataclasses.replace(context, model=self.real)
        for name, check in checks.loaded().items():
            planned = getattr(check, "planned", None)
            if planned:
                found[name] = Looked(planned(real), Counter())
                continue
            found[name] = self.look(lambda check=check: self._keep(check.check(own)))  # type: ignore[misc]
        return found

    def _keep(self, finding: Finding) -> None:
        self.evidence |= finding.evidence

    def timings(self) -> dict[_Kind, float]:
        """Seconds of a batch of each kind that was asked for, by whole batches that are computed now."""
        kinds = sorted(self.notes.examples, key=lambda kind: -self.notes.asked[kind] * _GROWTH**kind.size)
        known: dict[_Kind, float] = {}
        stop = time.perf_counter() + _TIMED
        for kind in kinds:
            if known and time.perf_counter() > stop:
                break
            known[kind] = self._timed(kind)
        return {kind: known.get(kind) or _nearest(kind, known) for kind in kinds}

    def _timed(self, kind: _Kind) -> float:
        graph, examples = self.real.graphs[kind.graph], self.notes.examples[kind]
        threads = graph.beside.threads if kind.beside and graph.beside else 1
        taken = []
        for tensors in examples:
            begun = time.perf_counter()
            graph.run_each([lambda own=tensors: own] * threads)  # type: ignore[misc]
            taken.append((time.perf_counter() - begun) / threads)
        return min(taken)


def _nearest(kind: _Kind, known: Mapping[_Kind, float]) -> float:
    """Of batches that were not timed: by those of the nearest size, as much longer as they are larger."""
    near = min(known, key=lambda one: (one.graph != kind.graph, abs(one.size - kind.size)))
    return known[near] * _GROWTH ** (kind.size - near.size)


def seconds(looked: Looked, timings: Mapping[_Kind, float], most: float = math.inf) -> float:
    """What a part of the audit takes in all."""
    return min(most, looked.seconds + sum(count * timings[kind] for kind, count in looked.asked.items()))


def most_seconds(name: str, gates: Sequence[str]) -> float:
    """The most that a check goes on for, where no gate asks for it."""
    check = checks.loaded().get(name)
    asked = any(gate.partition(".")[0] == name for gate in gates)
    return math.inf if asked else float(getattr(check, "SECONDS", math.inf))


def carried_on(taken: Sequence[tuple[float, float]]) -> float:
    """What all rows take, by what one or two shares of them took, (share, seconds): along a line that does not fall."""
    (few, less), (many, more) = taken[0], taken[-1]
    slope = max(0.0, (more - less) / (many - few)) if many > few else 0.0
    return more + slope * (1 - many)
