"""`trimtab compare`: two bundles on the same rows, by paired tests, and the gates that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trimtab import checks, columns, metrics
from trimtab.audit import quality
from trimtab.audit.paired import mcnemar
from trimtab.bundle.manifest import GateResult, Measured
from trimtab.columns import taken
from trimtab.errors import problem
from trimtab.metrics import OneOf
from trimtab.progress import Laps, Progress, Quiet
from trimtab.reaudit import auditing, labelled
from trimtab.reaudit.auditing import Subject
from trimtab.reaudit.labelled import Labelled

_SURE = 0.05  # a difference that chance makes more rarely is one


@dataclass(frozen=True)
class Sides:
    """Rows on which one bundle is right and the other wrong, and how likely such a split is by chance alone."""

    first: int  # rows that only the first answers rightly
    second: int
    p: float  # McNemar's exact test (1947, 10.1007/BF02295996)


@dataclass(frozen=True)
class Compared:
    """Two bundles on the same rows."""

    rows: int
    agree: float  # share of rows that both answer alike
    sides: Sides | None  # None where an answer is not plainly right or wrong
    measured: tuple[dict[str, Measured], dict[str, Measured]]  # of each bundle
    gained: dict[str, Measured]  # second minus first, of metrics of answers
    gates: tuple[list[GateResult], list[GateResult]]

    @property
    def lost(self) -> list[str]:
        """Gates that the first bundle meets and the second does not."""
        met = {gate.name for gate in self.gates[0] if gate.met}
        return [gate.name for gate in self.gates[1] if gate.name in met and not gate.met]

    @property
    def won(self) -> list[str]:
        """Gates that the second bundle meets and the first does not."""
        met = {gate.name for gate in self.gates[1] if gate.met}
        return [gate.name for gate in self.gates[0] if gate.name in met and not gate.met]

    def verdict(self, name: str) -> str:
        """`better`, `worse`, or nothing where the interval of the difference holds 0."""
        found = self.gained[name]
        if found.low is None or found.high is None or found.low <= 0 <= found.high:
            return ""
        return "better" if (found.value > 0) == metrics.named(name).higher_is_better else "worse"


def compare(
    first: str | Path,
    second: str | Path,
    data: str | Path,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    format: str | None = None,
    encoding: str | None = None,
    threads: int | None = None,
) -> Compared:
    """Measure two bundles on the labelled rows of `data` that neither was made of, and that both could answer.

    The gates of both are held against each, and those of `overrides`; `drop` is what the second loses against the
    first. Raises TrimtabError for bundles that do not answer the same column, and as `auditing.audit` does.
    """
    progress = progress or Quiet()
    before, after = (auditing.opened(bundle, overrides, progress, threads) for bundle in (first, second))
    _check_alike(before, after, str(second))
    before, after = _with_all_gates(before, after)
    progress.stage("answers", str(data))
    kept = tuple(dict.fromkeys((*before.spec.protected, *after.spec.protected)))
    one = labelled.read(before.model, str(data), progress.note, format, encoding, kept)
    auditing.told(one, progress)
    one, other = _both(one, after, str(data), progress)
    return _compared(before, after, one, other, progress)


def _check_alike(before: Subject, after: Subject, where: str) -> None:
    one, other = before.model.output, after.model.output
    if (one.name, one.type) != (other.name, other.type):
        said, wanted = (f"{column.name!r} ({columns.word(column.type)})" for column in (other, one))
        raise problem(where, f"answers {said}", f"{wanted}, as the first bundle does")


def _with_all_gates(before: Subject, after: Subject) -> tuple[Subject, Subject]:
    """Both with the gates of both; where they ask the same, each keeps its own bound."""
    first, second = ({gate.name: gate for gate in subject.gates} for subject in (before, after))
    return (
        replace(before, gates=list({**second, **first}.values())),
        replace(after, gates=list({**first, **second}.values())),
    )


def _both(one: Labelled, after: Subject, name: str, progress: Progress) -> tuple[Labelled, Labelled]:
    """The rows that the second bundle can answer too and was not made of, as each answers them."""
    rows, other = labelled.also(after.model, one, name)
    if len(rows) < len(one.table):
        progress.note(f"{len(one.table) - len(rows):,} rows more are left out: the second bundle was made by them, or "
                      "cannot answer them")  # fmt: skip
    return replace(one, table=one.table.take(rows), outputs=taken(one.outputs, rows)), other


def _compared(before: Subject, after: Subject, one: Labelled, other: Labelled, progress: Progress) -> Compared:
    laps, found, contexts = Laps(), [], []
    for subject, rows, compared in ((before, one, None), (after, other, before.model)):
        progress.stage("audit", str(subject.model.folder))
        contexts.append(auditing.context(subject, rows, compared))
        found.append(checks.every(contexts[-1], laps, progress))
    first, second = (c.output.statistics(c.targets, c.outputs) for c in contexts)
    users, weights = contexts[0].test.of(before.model.output.user), contexts[0].test.weights
    width = max(before.model.output.width, after.model.output.width)
    gained = quality.gained(first, second, len(one.table), width, before.spec.seed, users, weights)
    first_gates = replace(before, gates=[gate for gate in before.gates if not metrics.named(gate.name).compared])
    judged = [auditing.results(*each) for each in zip((first_gates, after), (one, other), found, strict=True)]
    return Compared(
        len(one.table),
        float(_alike(*contexts).mean()),
        _sides(*contexts),
        (dict(found[0].measured), dict(found[1].measured)),
        gained,
        (judged[0], judged[1]),
    )


def _alike(one: checks.Context, other: checks.Context) -> np.ndarray:
    """Which rows both answer alike, (rows,) bool; by the names of answers, where the classes are others."""
    if one.output.classes == other.output.classes:
        return one.output.agrees(one.outputs, other.outputs)
    first, second = (context.output.decode(context.outputs)[context.output.name] for context in (one, other))
    return np.array([a == b for a, b in zip(first, second, strict=True)], bool)


def _sides(one: checks.Context, other: checks.Context) -> Sides | None:
    answers = [context.output.answered(context.targets, context.outputs) for context in (one, other)]
    if not all(isinstance(each, OneOf) for each in answers):
        return None
    right = [each.chosen == each.true for each in answers if isinstance(each, OneOf)]
    first, second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Sides(first, second, mcnemar(first, second))
