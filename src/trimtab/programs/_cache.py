"""What a decoder has read so far: the keys and values of every layer, rows filled up on the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

LEAST = np.finfo(np.float32).min  # added where nothing is to be seen; not -inf, of which a whole row would be NaN
MEMORY_MASK = "memory_mask"


class Step(Protocol):
    """The network that takes a step: tensors by name, in and out."""

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tensors that it gives."""


@dataclass(frozen=True)
class Cache:
    """Rows that a decoder goes on with. Nothing in it is changed: a step gives another one."""

    past: tuple[np.ndarray, ...]  # k of the first layer, v of it, k of the second ...: (rows, heads, places, head)
    starts: np.ndarray  # (rows,) the place at which each row begins
    memory: Mapping[str, np.ndarray]  # what an encoder gave: `memory_mask`, `cross_k_0` ...; nothing without one

    @classmethod
    def empty(cls, memory: Mapping[str, np.ndarray], rows: int, layers: int, heads: int, head: int) -> Cache:
        """Of rows of which nothing is read yet."""
        nothing = np.zeros((rows, heads, 0, head), np.float32)
        return cls((nothing,) * (2 * layers), np.zeros(rows, np.int64), memory)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def places(self) -> int:
        """How many places there are, those before a row's start counted."""
        return int(self.past[0].shape[2])

    def read(self, step: Step, ids: np.ndarray, picked: np.ndarray) -> tuple[np.ndarray, Cache]:
        """Logits (rows, K, vocabulary) at `picked` (rows, K), and the cache with `ids` (rows, S) read too."""
        places, width = self.places, ids.shape[1]
        own = np.arange(places + width) >= self.starts[:, None]  # (rows, P + S)
        mask = np.where(own, np.float32(0), LEAST)[:, None, None, :]
        if width > 1:
            later = np.triu(np.full((width, places + width), LEAST, np.float32), places + 1)
            mask = np.minimum(mask, later)
        positions = np.maximum(places + np.arange(width) - self.starts[:, None], 0)
        given = {"ids": ids, "positions": positions, "mask": mask, "picked": picked, **self.memory}
        for layer, (keys, values) in enumerate(zip(self.past[::2], self.past[1::2], strict=True)):
            given[f"past_k_{layer}"], given[f"past_v_{layer}"] = keys, values
        found = step.run(given)
        present = [found[f"present_{kind}_{layer}"] for layer in range(len(self.past) // 2) for kind in "kv"]
        return found["logits"], replace(self, past=tuple(present))

    def take(self, rows: np.ndarray) -> Cache:
        """The given rows, in that order; places that none of them has are left out."""
        starts = self.starts[rows]
        spare = int(starts.min(initial=self.places))
        past = tuple(part[rows, :, spare:] if spare else part.take(rows, axis=0) for part in self.past)
        return Cache(past, starts - spare, {name: part.take(rows, axis=0) for name, part in self.memory.items()})

    def emptied(self, rows: np.ndarray) -> Cache:
        """As many rows, of which those that `rows` (rows,) says begin anew: no position of theirs is ever too large."""
        return replace(self, starts=np.where(rows, self.places, self.starts))

    def reordered(self, rows: np.ndarray) -> Cache:
        """As many rows, each with what another one had read, of the same memory: beams of one row."""
        return replace(self, past=tuple(part.take(rows, axis=0) for part in self.past), starts=self.starts[rows])


def joined(parts: Sequence[Cache]) -> Cache:
    """The rows of several, at least one, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    places = max(part.places for part in parts)
    past = tuple(
        np.concatenate([_wider(array, 2, places, left=True) for array in arrays])
        for arrays in zip(*(part.past for part in parts), strict=True)
    )
    starts = np.concatenate([part.starts + places - part.places for part in parts])
    return Cache(
        past, starts, {name: _of_memory([part.memory[name] for part in parts], name) for name in parts[0].memory}
    )


def _of_memory(parts: Sequence[np.ndarray], name: str) -> np.ndarray:
    axis = 3 if name == MEMORY_MASK else 2
    steps = max(part.shape[axis] for part in parts)
    fill = float(LEAST) if name == MEMORY_MASK else 0.0
    return np.concatenate([_wider(part, axis, steps, fill=fill) for part in parts])


def _wider(array: np.ndarray, axis: int, size: int, left: bool = False, fill: float = 0.0) -> np.ndarray:
    lacking = size - array.shape[axis]
    if not lacking:
        return array
    more = np.full((*array.shape[:axis], lacking, *array.shape[axis + 1 :]), fill, array.dtype)
    return np.concatenate([more, array] if left else [array, more], axis=axis)
