"""Whether answers stay what they are where values are mistyped, blurred, missing: see `perturb/`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from trimtab import perturb
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import InputColumn, Outputs, Targets, taken
from trimtab.page import Block, Section, Table, Text, figures
from trimtab.perturb import Perturbation

NAME = "robustness"
PLACE = 2.5
_ROWS = 200  # test rows, at one strength; as many in all where there are several
_SIDE = NormalDist().inv_cdf(0.975)


class _Case(NamedTuple):
    """A perturbation, and the columns of its type."""

    perturbation: Perturbation
    columns: tuple[InputColumn, ...]


class _Sample(NamedTuple):
    """Test rows and what was answered to them as they are."""

    rows: np.ndarray
    values: dict[str, list[Any]]
    targets: Targets
    outputs: Outputs


def check(context: Context) -> Finding:
    """The share of unchanged answers under each perturbation that some test rows can have, and how good they are."""
    if context.output.per_position:
        return Finding()  # an answer for each word: a sentence more is an answer more
    lines = []
    for type_name in dict.fromkeys(column.type for column in context.inputs):
        alike = tuple(column for column in context.inputs if column.type == type_name)
        found = (_line(context, _Case(one, alike)) for one in perturb.of_type(type_name))
        lines += [line for line in found if line]
    measured = {f"{NAME}.{line['perturbation']}": _share(line["unchanged"], line["rows"]) for line in lines}
    return Finding(measured, {NAME: lines} if lines else {})


def sections(manifest: Manifest) -> Iterator[Section]:
    """A line for each perturbation."""
    lines = manifest.evidence.get(NAME, [])
    if lines:
        metric = figures.label(lines[0]["metric"])
        said = (
            "Test rows were changed in ways that leave their right answers what they are, and answered by the served "
            f"files again. Unchanged is the share of the answers that stayed the same; {metric} is that of the changed "
            "rows, behind that of the same rows as they are. Several figures: from the weakest change to the strongest."
        )
        yield Section("Robustness", (Text(said), _table(lines, metric)))


def limits(manifest: Manifest) -> Iterator[str]:
    """What the perturbations are not."""
    if NAME in manifest.evidence:
        yield "Robustness was measured by changes that are made up. Those that people look for on purpose are worse."


def _line(context: Context, case: _Case) -> dict[str, Any] | None:
    """What the answers become, as evidence; None where no row can be changed so, or the metric is not defined."""
    strengths = case.perturbation.strengths
    sample = _sampled(context, _ROWS // len(strengths))
    random = np.random.default_rng(context.seed)
    unchanged, quality, touched = [], [], np.zeros(len(sample.rows), bool)
    for strength in strengths:
        values, touched = _perturbed(case, sample, random, strength)
        if not touched.any():
            return None
        outputs = context.model.outputs(values)
        unchanged.append(float(context.output.agrees(sample.outputs, outputs)[touched].mean()))
        quality.append(_quality(context, sample, outputs, touched))
    return {
        "perturbation": case.perturbation.name,
        "meaning": case.perturbation.meaning,
        "rows": int(touched.sum()),
        "unchanged": unchanged,
        "metric": context.output.headline,
        "before": _quality(context, sample, sample.outputs, touched),
        "after": quality,
    }


def _sampled(context: Context, count: int) -> _Sample:
    """Rows spread over all test rows."""
    rows = np.unique(np.linspace(0, len(context.test) - 1, min(count, len(context.test))).astype(np.int64))
    held = context.test.take(rows).values
    values = {column.name: list(held[column.name]) for column in context.model.inputs}
    return _Sample(rows, values, taken(context.targets, rows), taken(context.outputs, rows))


def _perturbed(
    case: _Case, sample: _Sample, random: np.random.Generator, strength: float
) -> tuple[dict[str, list[Any]], np.ndarray]:
    """The values of all columns, and which rows have others than before, (rows,) bool."""
    values, touched = dict(sample.values), np.zeros(len(sample.rows), bool)
    whose = random.integers(len(case.columns), size=len(touched))
    for position, column in enumerate(case.columns):
        old = sample.values[column.name]
        new = case.perturbation.apply(column, old, random, strength)
        mine = whose == position if case.perturbation.one_cell else np.ones(len(touched), bool)
        values[column.name] = [after if own else before for before, after, own in zip(old, new, mine, strict=True)]
        touched |= np.array([after is not before for before, after in zip(old, new, strict=True)]) & mine
    return values, touched


def _quality(context: Context, sample: _Sample, outputs: Outputs, touched: np.ndarray) -> float | None:
    """The headline metric of the touched rows; None where they do not define it."""
    rows = np.flatnonzero(touched)
    found = context.output.statistics(taken(sample.targets, rows), taken(outputs, rows))[context.output.headline]()
    value = float(found(np.ones((len(rows), 1)))[0])
    return value if math.isfinite(value) else None


def _share(unchanged: Sequence[float], rows: int) -> Measured:
    """The mean share with its interval (Wilson 1927, 10.1080/01621459.1927.10502953)."""
    share = float(np.mean(unchanged))
    spread = _SIDE**2 / rows
    middle = (share + spread / 2) / (1 + spread)
    reach = _SIDE / (1 + spread) * math.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    return Measured(value=share, low=max(0.0, middle - reach), high=min(1.0, middle + reach))


def _table(lines: Sequence[dict[str, Any]], metric: str) -> Block:
    rows = tuple(
        (
            figures.words(line["perturbation"]),
            line["meaning"],
            f"{line['rows']:,}",
            _figures(line["unchanged"]),
            f"{_figures(line['after'])} ({_figures([line['before']])})",
        )
        for line in lines
    )
    return Table(
        ("change", "what it is", "rows", "unchanged", metric), rows, frozenset({2, 3, 4}), fixed=frozenset({0, 1})
    )


def _figures(values: Sequence[float | None]) -> str:
    return ", ".join(figures.NOTHING if value is None else f"{value:.3f}" for value in values)
