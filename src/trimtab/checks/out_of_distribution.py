"""Whether rows of another kind are told from known ones by how sure the network is of them: see `foreign/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab import foreign
from trimtab.audit import out_of_distribution, quality
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import Outputs
from trimtab.page import Block, Section, Table, Text, figures

NAME = "ood"
PLACE = 2.85
_AUROC = f"{NAME}.auroc"
_ROWS = 200  # test rows that foreign ones of each kind are made of
_OWN = "rows of the files that `foreign` names"
_SAYS = (
    "Rows of another kind than those of training have no right answer. They can be caught where their score ({score}) "
    "is below that of known rows: AUROC is the chance that a test row scores higher than such a row (0.5: they are not "
    "told apart), `pass` the share that passes a threshold which 95% of the test rows pass. {by}"
)
_BY = (
    "`ood.auroc` is measured on the rows of the files that `foreign` names.",
    "`ood.auroc` is measured on all that were made up of test rows; `foreign: other.csv` in the spec names real ones.",
)
_LIMIT = "Rows of another kind than the ones that were tried may score like known ones, and are answered all the same."


@dataclass(frozen=True)
class _Foreign:
    """Foreign rows of a kind and what the network made of them, (rows,) each."""

    kind: str
    scores: np.ndarray
    confidence: np.ndarray
    users: list[Any]  # whose test row each is made of; None: a row of its own


def check(context: Context) -> Finding:
    """The AUROC of known against foreign rows, and the quantiles of the known rows' scores."""
    if not context.output.familiarity_word or not len(context.test):
        return Finding()
    named = context.test.of(context.output.user)
    users = [f"row {row}" for row in range(len(context.test))] if named is None else list(named)
    known = _scored(context, "known", context.outputs, users)
    found = [*_own(context), *_made_up(context, users)]
    evidence = {
        "score": context.output.familiarity_word,
        "quantiles": out_of_distribution.quantiles(known.scores),
        "confidence": float(known.confidence.mean()),
        "kinds": [_line(context, known, one) for one in found],
    }
    counted = [one for one in found if one.kind == _OWN] or found
    measured = {_AUROC: _auroc(context, known, counted, "scores")} if counted else {}
    return Finding(measured, {NAME: evidence})


def _scored(context: Context, kind: str, outputs: Outputs, users: list[Any]) -> _Foreign:
    confidence = context.output.strengths(outputs).max(axis=1)
    return _Foreign(kind, context.output.familiarity(outputs), np.nan_to_num(confidence), users)


def _own(context: Context) -> Iterator[_Foreign]:
    """The rows of the user's files; a column that they lack is missing in all of them."""
    if context.foreign:
        count = len(next(iter(context.foreign.values())))
        values = {one.name: context.foreign.get(one.name, [None] * count) for one in context.model.inputs}
        yield _scored(context, _OWN, context.model.outputs(values), [None] * count)


def _made_up(context: Context, users: Sequence[Any]) -> Iterator[_Foreign]:
    count = len(context.test)
    rows = np.unique(np.linspace(0, count - 1, min(_ROWS, count)).astype(np.int64))
    held = context.test.take(rows).values
    values = {column.name: list(held[column.name]) for column in context.model.inputs}
    for made in foreign.made_up(context.inputs, values, np.random.default_rng(context.seed)):
        yield _scored(context, made.name, context.model.outputs(made.values), [users[row] for row in rows[made.rows]])


def _auroc(context: Context, known: _Foreign, others: Sequence[_Foreign], of: str) -> Measured:
    """By `scores` or `confidence`; a foreign row is drawn together with the test row that it was made of."""
    scores = np.concatenate([getattr(one, of) for one in others])
    weights = context.test.weights
    found = quality.estimate(
        out_of_distribution.auroc(getattr(known, of), scores),
        len(known.scores) + len(scores),
        context.seed,
        quality.RESAMPLES,
        [*known.users, *(user for one in others for user in one.users)],
        None if weights is None else np.concatenate([weights, np.ones(len(scores))]),
        share=True,
    )
    assert found is not None  # there are rows on both sides
    return Measured(value=found.value, low=found.low, high=found.high)


def _line(context: Context, known: _Foreign, one: _Foreign) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "rows": len(one.scores),
        "auroc": _auroc(context, known, [one], "scores").model_dump(include={"value", "low", "high"}),
        "auroc_of_confidence": _auroc(context, known, [one], "confidence").value,
        "pass": out_of_distribution.passing(known.scores, one.scores),
        "confidence": float(one.confidence.mean()),
    }


def sections(manifest: Manifest) -> Iterator[Section]:
    """A line for each kind of rows, and where known ones score."""
    found = manifest.evidence.get(NAME)
    if found and found["kinds"]:
        own = any(line["kind"] == _OWN for line in found["kinds"])
        said = _SAYS.format(score=found["score"], by=_BY[0 if own else 1])
        yield Section("How it takes rows of another kind", (Text(said), _kinds(found), _quantiles(found)), "Other rows")


def _kinds(found: Mapping[str, Any]) -> Block:
    rows = tuple(
        (
            line["kind"],
            f"{line['rows']:,}",
            figures.whole(Measured.model_validate(line["auroc"])),
            f"{line['auroc_of_confidence']:.3f}",
            f"{line['pass']:.3f}",
            f"{line['confidence']:.3f}",
        )
        for line in found["kinds"]
    )
    rows += (("test rows", *(figures.NOTHING,) * 4, f"{found['confidence']:.3f}"),)
    head = ("rows of another kind", "rows", "AUROC", "AUROC of the confidence", "pass", "mean confidence")
    return Table(head, rows, frozenset({1, 2, 3, 4, 5}))


def _quantiles(found: Mapping[str, Any]) -> Block:
    levels = found["quantiles"]
    head = ("share of test rows below", *(f"{float(level):.0%}" for level in levels))
    row = (f"score ({found['score']})", *(f"{one:.3f}" for one in levels.values()))
    return Table(head, (row,), frozenset(range(1, len(head))), title="Scores of the test rows")


def limits(manifest: Manifest) -> Iterator[str]:
    """What was not tried."""
    if manifest.evidence.get(NAME):
        yield _LIMIT
