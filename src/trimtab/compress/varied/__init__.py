"""More rows for distillation, made of those that there are: the teacher says what their answers are.

One file per input type; the folder is the registry: `varied/text.py` holds `vary`. A new row need not be one that
could occur, nor keep the answer of the row that it was made of (Bucila, Caruana and Niculescu-Mizil 2006; Jiao et al.
2020, arXiv:1909.10351; Beyer et al. 2022, arXiv:2106.05237). A type without a file is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab import registry
from trimtab.columns import Encoded, EncodedRows, InputColumn, taken
from trimtab.compress.varied import _partners


@dataclass(frozen=True)
class Draw:
    """What the new rows of one input are made of."""

    picked: np.ndarray  # (count,) the row that each new row is made of
    partners: np.ndarray  # (count,) another row that it may be mixed with; the same one for all inputs
    random: np.random.Generator
    neighbours: np.ndarray | None = None  # (ids, some): the ids that are most like each id


Vary = Callable[[InputColumn, Encoded, Draw], Encoded]


def vary(
    inputs: Sequence[InputColumn],
    rows: EncodedRows,
    count: int,
    seed: int,
    skip: Collection[str] = (),
    neighbours: Mapping[str, np.ndarray] | None = None,
) -> EncodedRows | None:
    """`count` new rows, all rows used about equally often; equal arguments give equal rows.

    `inputs` are the columns by which `rows` are encoded. Those whose keys are in `skip` are copied. `neighbours` holds
    for the key of a text or a history a table (ids, some) of ids that are like each other. None where no input can be
    varied, so that nothing would be new.
    """
    varied = [column.type in registry.names(__name__) and column.key not in skip for column in inputs]
    if not any(varied) or not len(rows) or count < 1:
        return None
    random = np.random.default_rng(seed)
    rounds = -(-count // len(rows))  # in each every row once, in any order
    picked = np.concatenate([random.permutation(len(rows)) for _ in range(rounds)])[:count]
    partners = _partners.near(inputs, rows, picked, random)
    encoded = []
    for position, (column, own, changes) in enumerate(zip(inputs, rows.encoded, varied, strict=True)):
        near = (neighbours or {}).get(column.key)
        draw = Draw(picked, partners, np.random.default_rng([seed, position]), near)
        if changes:
            vary: Vary = registry.load(__name__, column.type, "vary", f"column {column.name!r}")
            encoded.append(vary(column, own, draw))
        else:
            encoded.append(taken(own, picked))
    steps = np.sum([column.steps(part) for column, part in zip(inputs, encoded, strict=True)], axis=0)
    return EncodedRows(tuple(inputs), tuple(encoded), np.asarray(steps, np.int64))
