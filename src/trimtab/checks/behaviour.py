"""Tests of one's own: what must be answered, must be answered alike, must become surer. See `behaviour/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import runtime
from trimtab.audit import quality
from trimtab.behaviour import ALL, WORST, OwnTest, passed
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.metrics import mean
from trimtab.page import Block, Section, Table, Text

NAME = "behaviour"
PLACE = 2.6
_SHOWN = 3  # cases of a test that do not pass
_LETTERS = 160


def check(context: Context) -> Finding:
    """The share of cases that pass, of each test and of all; which do not, where rows may be quoted."""
    if not context.tests:
        return Finding()
    found = {test.name: _passed(context, test) for test in context.tests}
    every = np.concatenate(list(found.values()))
    measured = {f"{NAME}.{name}": _share(context, ok) for name, ok in found.items()}
    worst = min(found, key=lambda name: found[name].mean())
    measured[f"{NAME}.{ALL}"] = _share(context, every)
    measured[f"{NAME}.{WORST}"] = measured[f"{NAME}.{worst}"]
    lines = [_line(context, test, found[test.name]) for test in context.tests]
    return Finding(measured, {NAME: lines}, {f"{NAME}.{WORST}": worst})


def _passed(context: Context, test: OwnTest) -> np.ndarray:
    """Whether each case passes, (cases,) bool: a group does where each of its rows does."""
    texts = [column.name for column in context.inputs if column.sliced == "lengths"]
    rows, first, case = _laid_out(test, (texts or [column.name for column in context.inputs])[0])
    outputs = context.model.outputs(runtime.gathered(context.model.inputs, rows, Path()))
    compared = np.flatnonzero(first != np.arange(len(rows))) if test.kind != "expect" else np.arange(len(rows))
    ok = passed(test, context.output, outputs, first[compared], compared)
    failed = np.bincount(case[compared], weights=~ok, minlength=len(test.cases))
    return np.asarray(failed == 0)


def _laid_out(test: OwnTest, text: str) -> tuple[list[Mapping[str, Any]], np.ndarray, np.ndarray]:
    """All rows of a test; for each the first row of its case, and the case, (rows,). A text alone is of `text`."""
    sizes = [len(case) for case in test.cases]
    rows = [row if isinstance(row, Mapping) else {text: row} for case in test.cases for row in case]
    case = np.repeat(np.arange(len(sizes)), sizes)
    return rows, (np.cumsum(sizes) - sizes)[case], case


def _share(context: Context, ok: np.ndarray) -> Measured:
    found = quality.estimate(mean(ok), len(ok), context.seed, share=True)
    return Measured(value=float(ok.mean()), low=found and found.low, high=found and found.high)


def _line(context: Context, test: OwnTest, ok: np.ndarray) -> dict[str, Any]:
    """A test as evidence; the user's own cases are no rows of the data, and are quoted where rows may be."""
    failed = [test.cases[case] for case in np.flatnonzero(~ok)[:_SHOWN].tolist()] if context.quotes else []
    return {
        "test": test.name,
        "capability": test.capability,
        "meaning": test.meaning,
        "cases": len(ok),
        "passed": int(ok.sum()),
        "failed": [" → ".join(map(_told, case))[:_LETTERS] for case in failed],
    }


def _told(row: Any) -> str:
    return row if isinstance(row, str) else ", ".join(f"{name}: {value}" for name, value in row.items())


def sections(manifest: Manifest) -> Iterator[Section]:
    """A line for each test."""
    lines = manifest.evidence.get(NAME, [])
    if lines:
        blocks = [Text("Cases written for this task by its owners, answered by the served files."), _table(lines)]
        if failed := tuple((line["test"], case) for line in lines for case in line["failed"]):
            head = ("test", "case that does not pass")
            blocks.append(Table(head, failed, title="Some cases that do not pass", folded=True))
        yield Section("Tests of one's own", tuple(blocks), "Own tests")


def _table(lines: Sequence[Mapping[str, Any]]) -> Block:
    named = any(line["capability"] for line in lines)
    rows = tuple(
        (
            *((line["capability"],) if named else ()),
            line["test"],
            line["meaning"],
            f"{line['cases']:,}",
            f"{line['passed'] / line['cases']:.3f}",
        )
        for line in lines
    )
    head = (*(("capability",) if named else ()), "test", "what must hold", "cases", "passed")
    return Table(head, rows, frozenset({len(head) - 2, len(head) - 1}))


def limits(manifest: Manifest) -> Iterator[str]:
    """What passing says."""
    if manifest.evidence.get(NAME):
        yield "Tests of one's own say what they ask: what nobody wrote a case for was not tried."
