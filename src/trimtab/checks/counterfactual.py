"""Whether texts are answered alike where they speak of other people: see `audit/counterfactual.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.audit import quality
from trimtab.audit.counterfactual import SWAPS, Swap
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import taken
from trimtab.metrics import mean
from trimtab.page import Block, Section, Table, Text, figures

NAME = "counterfactual"
PLACE = 2.42
_READ, _MOST = 10_000, 200  # test rows that are looked through, and rows with such a word that are answered
_STEPS = 1000  # a random step picks a word of a line
_SAYS = (
    "Words of test rows that say who a person is were swapped, and the rows answered by the served files again. Only "
    "rows that hold such a word count. Same answer: the share of answers that stayed what they were. Moved: by how "
    "much a score moved on average; of classes, the chance that changed most. The words stand in lists, English and "
    "Chinese; a swap can change what is right (a mother who gives birth), so that a few changed answers need not be "
    "wrong."
)
_LIMIT = (
    "Swapped words show whether answers follow the words of the lists, not what else tells of a group: dialect, "
    "topics, names that are not listed."
)


def check(context: Context) -> Finding:
    """The share of unchanged answers, and how far scores move, of each swap that some test rows have a word of."""
    names = [column.name for column in context.inputs if column.is_text]
    if not names or not context.output.scored or not len(context.test):
        return Finding()
    rows = np.unique(np.linspace(0, len(context.test) - 1, min(_READ, len(context.test))).astype(np.int64))
    held = context.test.take(rows).values
    values = {column.name: list(held[column.name]) for column in context.model.inputs}
    lines = [line for swap in SWAPS if (line := _line(context, swap, names, values, rows))]
    measured = {f"{NAME}.{line['swap']}": Measured.model_validate(line["unchanged"]) for line in lines}
    return Finding(measured, {NAME: lines} if lines else {})


def _line(
    context: Context, swap: Swap, names: Sequence[str], values: Mapping[str, list[Any]], rows: np.ndarray
) -> dict[str, Any] | None:
    """What becomes of the answers, as evidence; None where no row holds such a word."""
    swapped = {name: _swapped(context, swap, values[name]) for name in names}
    other = [[new is not old for new, old in zip(swapped[name], values[name], strict=True)] for name in names]
    touched = np.flatnonzero(np.any(other, axis=0))
    if not len(touched):
        return None
    picked = touched[np.unique(np.linspace(0, len(touched) - 1, min(_MOST, len(touched))).astype(np.int64))]
    made = {name: [every[row] for row in picked.tolist()] for name, every in {**values, **swapped}.items()}
    before, after = taken(context.outputs, rows[picked]), context.model.outputs(made)
    moved = np.abs(context.output.strengths(after) - context.output.strengths(before)).max(axis=1)
    return {
        "swap": swap.name,
        "meaning": swap.meaning,
        "rows": len(picked),
        "unchanged": _estimate(context, rows[picked], context.output.agrees(before, after), share=True),
        "moved": _estimate(context, rows[picked], moved),
    }


def _swapped(context: Context, swap: Swap, values: Sequence[Any]) -> list[Any]:
    """Texts with their words swapped, those of a row by the same step; what holds none is the same object."""
    steps = np.random.default_rng(context.seed).integers(_STEPS, size=len(values)).tolist()
    made = [swap.apply(old, step) if isinstance(old, str) else old for old, step in zip(values, steps, strict=True)]
    return [old if new == old else new for old, new in zip(values, made, strict=True)]


def _estimate(context: Context, rows: np.ndarray, each: np.ndarray, share: bool = False) -> dict[str, float | None]:
    """The mean of what each row has, (rows,), with its interval."""
    users = context.test.of(context.output.user)
    own = None if users is None else [users[row] for row in rows.tolist()]
    found = quality.estimate(mean(each), len(rows), context.seed, users=own, share=share)
    low, high = (None, None) if found is None else (found.low, found.high)
    return {"value": float(each.mean()), "low": low, "high": high}


def sections(manifest: Manifest) -> Iterator[Section]:
    """A line for each swap, where groups of people are told of."""
    if lines := manifest.evidence.get(NAME):
        yield Section("Groups of people", (Text(_SAYS), _table(lines)), "Fairness")


def _table(lines: Sequence[Mapping[str, Any]]) -> Block:
    rows = tuple(
        (
            figures.words(line["swap"]),
            line["meaning"],
            f"{line['rows']:,}",
            _figure(line["unchanged"]),
            _figure(line["moved"]),
        )
        for line in lines
    )
    head = ("swap", "what it is", "rows", "same answer", "moved")
    return Table(head, rows, frozenset({2, 3, 4}), title="Texts about other people")


def _figure(found: Mapping[str, float | None]) -> str:
    return figures.whole(Measured.model_validate(found))


def limits(manifest: Manifest) -> Iterator[str]:
    """What swapped words do not say."""
    if manifest.evidence.get(NAME):
        yield _LIMIT
