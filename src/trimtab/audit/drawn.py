"""Sets of pictures compared in the features of a network, and drawn ones with those that were learnt from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import runtime
from trimtab.bundle import store
from trimtab.metrics import Statistic
from trimtab.values import parse

_BATCH = 256
_BLOCK = 20_000_000  # distances, or pixels, that are held at a time
NEIGHBOURS = 3  # to the farthest of which the neighbourhood of a picture reaches
_MOST = 4_000  # points whose distances from each other are held; of more, as many, evenly
_NEAR = 0.5  # of the distance that a picture of the test rows usually has from training


@dataclass(frozen=True)
class Judge:
    """The small network of a bundle that looks at pictures: see `pipeline.judge`."""

    path: Path
    reads: str  # the name of its tensor
    input: str | None  # that names the class; None: it has learnt no class
    classes: tuple[str, ...]
    accuracy: float  # on real pictures of the test rows
    rows: int

    @cached_property
    def _session(self):  # type: ignore[no-untyped-def]
        return runtime.open_session(self.path, runtime.usable_cores())

    def look(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, channels, height, width) uint8 -> the class of each, (rows,), and its features, (rows, numbers)."""
        parts = [
            self._session.run(["outputs", "features"], {self.reads: np.ascontiguousarray(pictures[i : i + _BATCH])})
            for i in range(0, len(pictures), _BATCH)
        ]
        return np.concatenate([own.argmax(axis=1) for own, _ in parts]), np.concatenate([own for _, own in parts])


def judge(folder: Path | None) -> Judge | None:
    """The judge of a bundle; None where it has none."""
    if folder is None or not (folder / store.JUDGE).is_file() or not (folder / store.JUDGE_SAYS).is_file():
        return None
    said = json.loads((folder / store.JUDGE_SAYS).read_text(encoding="utf-8"))
    return Judge(
        folder / store.JUDGE, said["reads"], said["input"], tuple(said["classes"]), said["accuracy"], said["rows"]
    )


def names(values: Sequence[Any]) -> list[str]:
    """The name of the class that each value is, as a judge knows it; empty for none."""
    return ["" if parse.is_missing(value) else parse.label(value) for value in values]


def frechet(one: np.ndarray, other: np.ndarray) -> Statistic:
    """The Frechet distance between normal distributions of two sets of features, each (rows, numbers).

    Heusel et al. 2017, arXiv:1706.08500; in the features of another network than theirs.
    """
    first, second = one.astype(np.float64), other.astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.array([_apart(first, second, own) for own in weights.T])

    return statistic


def _apart(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> float:
    share = weights / weights.sum()
    means = share @ one, share @ other
    spreads = [
        np.einsum("r,ri,rj->ij", share, f - m, f - m, optimize=True) for f, m in zip((one, other), means, strict=True)
    ]
    values, vectors = np.linalg.eigh(spreads[0])
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    between = np.sqrt(np.linalg.eigvalsh(root @ spreads[1] @ root).clip(min=0)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(spreads[0]) + np.trace(spreads[1]) - 2 * between)


def within(points: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Whether each point lies in a neighbourhood of some of the others, (rows,) bool (Kynkaanniemi et al. 2019).

    Both (rows, numbers). A neighbourhood reaches to the third nearest of the others.
    """
    of = of[:: -(-len(of) // _MOST)]
    reach = np.sort(distances(of, of), axis=1)[:, min(NEIGHBOURS, len(of) - 1)]  # the nearest is the point itself
    parts = [(distances(points[i : i + _MOST], of) <= reach).any(axis=1) for i in range(0, len(points), _MOST)]
    return np.concatenate(parts)


def distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances, (points, others) float32."""
    one, other = points.astype(np.float32), others.astype(np.float32)
    squared = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return np.asarray(np.sqrt(squared.clip(min=0)))


def nearest(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far each picture is from the nearest of the others, in levels (root mean square), (rows,)."""
    flat, among = (part.reshape(len(part), -1) for part in (pictures, others))
    step = max(1, _BLOCK // max(1, len(among) + among.shape[1]))
    parts = [distances(flat[i : i + step], among).min(axis=1) for i in range(0, len(flat), step)]
    return np.asarray(np.concatenate(parts) / np.sqrt(max(1, flat.shape[1])))


def near_copies(drawn: np.ndarray, test: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Which drawn pictures, and which of the test rows, are near-copies of training pictures; from which distance on.

    A near-copy is at most half as far from one as the median picture of the test rows is.
    """
    own, real = nearest(drawn, train), nearest(test, train)
    bound = _NEAR * float(np.median(real))
    return own <= bound, real <= bound, bound
