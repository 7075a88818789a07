"""Whether explanations are true to the network, and what drives its answers: see `explain/`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from trimtab import explain, metrics
from trimtab.audit import quality
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import taken
from trimtab.explain import Curves, Driver, Explanation
from trimtab.page import Bar, Bars, Block, Section, Table, Text, figures

PLACE = 2.7
NAME = "explanation"
FAITHFULNESS = "explanation.faithfulness"
_ROWS, _FEWEST = 30, 8  # test rows that are explained; fewer than eight can tell nothing from chance
SECONDS = 10.0  # for a network that is slow; where a gate asks, all rows are explained
_UNITS, _CALLS, _ORDERS = 16, 64, 4  # of a row
_SHARES = np.array([0.1, 0.25, 0.5, 0.75])  # of a row's units that are deleted
_LOOKED_AT = 1000  # test rows that are looked at for what drives the answers; fewer of very many scores
_MOST_SCORES = 2_000_000
_SHOWN = 6  # of each answer
_SAYS = (
    "{rows} test rows were explained (`trimtab explain` does so with any row), and what speaks most for the answer was "
    "deleted first: the {scale} falls by {explained} on average over the steps, and by {random} where as much is "
    "deleted by chance. A difference like that comes by chance in {chance} of cases (sign flips)."
)
_DRIVERS = "What rows say again and again, and by how much the {scale} falls on average where it alone is left out."


class _Explained(NamedTuple):
    explanation: Explanation
    curves: Curves


def check(context: Context) -> Finding:
    """How often deletion by explanations beats deletion by chance; shares of the columns; what drives the answers."""
    if reason := explain.refusal(context.output):
        return Finding(remarks={FAITHFULNESS: reason})
    seen = explain.reference_of(context.model)
    explained = list(_explained(context, seen))
    told = [
        {"answer": one.answer, "column": one.column, "said": one.said, "rows": one.rows, "added": one.added}
        for one in _drivers(context, seen)
    ]
    evidence: dict[str, Any] = {"scale": context.output.score_word, "drivers": told}
    if len(context.model.inputs) > 1 and explained:
        evidence["columns"] = _column_shares(context, explained)
    if len(explained) < _FEWEST:
        why = f"{len(explained)} test rows explained: it takes {_FEWEST}, of two units or more, within {SECONDS:g} s"
        return Finding(evidence={NAME: evidence}, remarks={FAITHFULNESS: why})
    won = np.array([one.curves.won for one in explained])
    found = quality.estimate(metrics.mean(won), len(won), context.seed, share=True)
    measured = {FAITHFULNESS: Measured(value=found.value, low=found.low, high=found.high)} if found else {}
    evidence |= _deletion(explained, context.seed)
    remark = f"{len(explained)} test rows; as much by chance: {evidence['chance']:.2g}"
    return Finding(measured, {NAME: evidence}, {FAITHFULNESS: remark})


def _explained(context: Context, seen: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[_Explained]:
    """Rows spread over the test rows, in an order by chance, so that those until time is up are spread too."""
    until = math.inf if FAITHFULNESS in context.gates else time.perf_counter() + SECONDS
    spread = np.unique(np.linspace(0, len(context.test) - 1, min(_ROWS, len(context.test))).astype(np.int64))
    for row in np.random.default_rng(context.seed).permutation(spread).tolist():
        if time.perf_counter() > until:
            return
        values = {column.name: context.test.values[column.name][row] for column in context.model.inputs}
        question = explain.ask(context.model, values, seen, most=_UNITS)
        if len(question.units) > 1:
            one = explain.explain(question, calls=_CALLS, seed=context.seed)
            yield _Explained(one, explain.deleted(question, one.contributions, _SHARES, _ORDERS, context.seed + row))


def _deletion(explained: Sequence[_Explained], seed: int) -> dict[str, Any]:
    """The curves, means over the rows, and how sure their difference is."""
    differences = np.array([one.curves.difference for one in explained])
    return {
        "rows": len(explained),
        "shares": _SHARES.tolist(),
        "explained": np.mean([one.curves.explained for one in explained], axis=0).tolist(),
        "random": np.mean([one.curves.random.mean(axis=0) for one in explained], axis=0).tolist(),
        "chance": explain.sign_flip(differences, seed),
    }


def _column_shares(context: Context, explained: Sequence[_Explained]) -> dict[str, float]:
    """How much of what is added, for or against, each column adds."""
    totals = dict.fromkeys((column.name for column in context.model.inputs), 0.0)
    for one, _ in explained:
        for column in totals:
            own = [unit.column == column for unit in one.units]
            totals[column] += abs(float(one.contributions[own].sum()))
    whole = sum(totals.values()) or 1.0
    return {column: total / whole for column, total in sorted(totals.items(), key=lambda item: -item[1])}


def _drivers(context: Context, seen: Mapping[str, Mapping[str, np.ndarray]]) -> list[Driver]:
    """Of many test rows; words and events only where rows may be quoted."""
    count, most = len(context.test), min(_LOOKED_AT, _MOST_SCORES // context.output.width)
    rows = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
    inputs, held = context.model.inputs, context.test.take(rows).values
    names = [column.name for column in inputs if context.quotes or not (column.is_text or column.holds_items)]
    values = {column.name: list(held[column.name]) for column in inputs}
    found = explain.drivers(context.model, values, taken(context.outputs, rows), seen, names)
    return [one for _, group in groupby(found, key=lambda one: one.answer) for one in _strongest(list(group))]


def _strongest(ranked: Sequence[Driver]) -> list[Driver]:
    """Those that raise the answer most, and those that lower it most, where there are any."""
    down = [one for one in ranked if one.added < 0][-(_SHOWN // 2) :]
    return [*[one for one in ranked if one.added > 0][: _SHOWN - len(down)], *down]


# ------------------------------------------------------------------------------------------------------- the card


def sections(manifest: Manifest) -> Iterator[Section]:
    """Whether explanations can be trusted, the shares of the columns, and what drives each answer."""
    yield Section("What drives the answers", tuple(_blocks(manifest)), "Explanations")


def _blocks(manifest: Manifest) -> Iterator[Block]:
    found = manifest.evidence.get(NAME, {})
    scale = found.get("scale") or "answer"
    if columns := found.get("columns"):
        longest = max(columns.values()) or 1.0
        bars = (Bar(name, f"{share:.0%}", share / longest, 0.0, 0.0) for name, share in columns.items())
        yield Bars("How much of what speaks for and against the answers each column says", tuple(bars))
    if drivers := found.get("drivers"):
        yield Text(_DRIVERS.format(scale=scale))
        for answer, lines in groupby(drivers, key=lambda one: one["answer"]):
            rows = tuple((one["said"], one["column"], f"{one['rows']:,}", f"{one['added']:+.3g}") for one in lines)
            yield Table(("word or value", "column", "rows", "adds"), rows, frozenset({2, 3}), title=f"For {answer}")
    if "chance" in found:
        chance = "less than 1 in 1,000" if found["chance"] < 0.001 else f"{found['chance']:.1%}"
        means = {name: f"{np.mean(found[name]):.3g}" for name in ("explained", "random")}
        if FAITHFULNESS in manifest.measured:
            yield figures.table({FAITHFULNESS: manifest.measured[FAITHFULNESS]})
        yield Text(_SAYS.format(rows=found["rows"], scale=scale, chance=chance, **means))
        yield _curves(found, scale)


def _curves(found: Mapping[str, Any], scale: str) -> Table:
    each = zip(found["shares"], found["explained"], found["random"], strict=True)
    rows = tuple((f"{share:.0%}", f"{own:.3g}", f"{other:.3g}") for share, own, other in each)
    head = ("deleted", f"{scale} falls: most important first", "by chance")
    return Table(head, rows, frozenset({1, 2}), title=figures.label(FAITHFULNESS), folded=True)


def limits(manifest: Manifest) -> Iterator[str]:
    """What explanations do not say."""
    if manifest.evidence.get(NAME):
        yield "Explanations say what the network reacts to, not why the world is so; units were left out, not changed."
