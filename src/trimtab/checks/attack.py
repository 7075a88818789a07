"""Whether right answers survive an attack: typing errors on purpose (`audit/attack.py`), or moves along gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trimtab import perturb, registry
from trimtab.audit import attack, quality
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import InputColumn, encode_rows, taken
from trimtab.metrics import OneOf, mean
from trimtab.page import Section, Text, figures
from trimtab.perturb import Budget
from trimtab.values import parse

NAME = "attack.survival"
PLACE = 4.1
_ROWS = 30  # that are attacked
_STEPS = 10  # along the gradients
_MISTYPED = (
    "Attack: of {rows} texts that are answered rightly {share} still are when up to {words} words are mistyped on "
    "purpose: those that the answer leans on most, found by leaving words out, with at most {calls} calls of the "
    "served files for each text."
)
_MOVED = (
    "Attack: of {rows} rows that are answered rightly {share} still are when the values of {column} are moved against "
    "the right answer, {said}, in {steps} steps along the gradients of the trained network (projected gradient "
    "descent, Madry et al. 2018); the served files answer what comes out."
)


def check(context: Context) -> Finding:
    """The share of right answers that survive; nothing of answers that are not one class.

    What is attacked is the first text, else the first input whose type says how far its numbers may be moved.
    """
    open_to = [one for one in context.inputs if one.is_text or perturb.budget(one.type)]
    column = next(iter(sorted(open_to, key=lambda one: not one.is_text)), None)
    answers = context.output.answered(context.targets, context.outputs) if column and len(context.test) else None
    if column is None or not isinstance(answers, OneOf):
        return Finding()
    values, right = context.test.values[column.name], np.flatnonzero(answers.chosen == answers.true).tolist()
    if column.is_text:
        usable = [row for row in right if isinstance(values[row], str) and attack.can_be(values[row])]
    elif reason := _without_gradients(context):
        return Finding(remarks={NAME: reason})
    else:
        usable = [row for row in right if not parse.is_missing(values[row])]
    if not usable:
        return Finding()
    spread = np.unique(np.linspace(0, len(usable) - 1, min(_ROWS, len(usable))).astype(np.int64))
    rows = np.array(usable)[spread]
    alive = (_mistyped if column.is_text else _moved)(context, column, rows)
    found = quality.estimate(mean(alive), len(rows), context.seed, share=True)
    low, high = (None, None) if found is None else (found.low, found.high)
    allowed = None if column.is_text else perturb.budget(column.type)
    told = {"rows": len(rows), "column": column.name, "moved": allowed and allowed.said}
    return Finding({NAME: Measured(value=float(alive.mean()), low=low, high=high)}, {"attack": told})


def _mistyped(context: Context, column: InputColumn, rows: np.ndarray) -> np.ndarray:
    """Whether the texts of these test rows are still answered rightly, (rows,) bool; their other inputs stay."""
    held = context.test.take(rows).values
    targets = taken(context.targets, rows)

    def ask(whose: Sequence[int], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        given = {c.name: [held[c.name][row] for row in whose] for c in context.model.inputs}
        given[column.name] = list(texts)
        own = taken(targets, np.array(whose, np.int64))
        found = context.output.answered(own, context.model.outputs(given))
        assert isinstance(found, OneOf)
        return found.chances[np.arange(len(whose)), found.true], found.chosen == found.true

    return attack.attacked(list(held[column.name]), ask, np.random.default_rng(context.seed))[1]


def _moved(context: Context, column: InputColumn, rows: np.ndarray) -> np.ndarray:
    """Whether the served files answer these test rows rightly that the trained network's gradients moved, (rows,)."""
    allowed, held, targets = perturb.budget(column.type), context.test.take(rows).values, taken(context.targets, rows)
    assert isinstance(allowed, Budget)
    read = encode_rows(context.network.inputs, held).batch(np.arange(len(rows)))
    name = f"{column.key}_{allowed.part}"
    moved = registry.attribute("trimtab.nets.adversarial", "moved")
    random = np.random.default_rng(context.seed)
    tensor = moved(context.network, read, name, targets, allowed.radius, allowed.bounds, _STEPS, random)
    given: dict[str, Sequence[Any]] = {c.name: held[c.name] for c in context.model.inputs}
    found = context.output.answered(targets, context.model.outputs({**given, column.name: allowed.values(tensor)}))
    assert isinstance(found, OneOf)
    return np.asarray(found.chosen == found.true)


def _without_gradients(context: Context) -> str:
    """Why there are none; empty where there are."""
    if not registry.available("torch"):
        return "gradients need the train extra"
    folder = context.model.folder
    return "" if folder and (folder / store.WEIGHTS).is_file() else "the bundle has no weights: gradients need them"


def sections(manifest: Manifest) -> Iterator[Section]:
    """One sentence, where robustness is told of."""
    measured, found = manifest.measured.get(NAME), manifest.evidence.get("attack")
    if measured and found:
        share, moved = figures.whole(measured), found.get("moved")
        if moved:
            said = _MOVED.format(rows=found["rows"], share=share, column=found["column"], said=moved, steps=_STEPS)
        else:
            said = _MISTYPED.format(rows=found["rows"], share=share, words=attack.WORDS_CHANGED, calls=attack.CALLS)
        yield Section("Robustness", (Text(said),))
