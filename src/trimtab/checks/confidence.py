"""Whether confidence can be relied on: answers by how sure they are, those that are withheld, sets and intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from trimtab.audit import conformal, quality, selective
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import NO_ASSURANCE, Assurance
from trimtab.metrics import Amounts, Answers, OneOf
from trimtab.page import Block, Section, Table, Text, figures

PLACE = 2.8
_SHOWN = 30  # classes whose sets are told, those with the most rows
_SURE = (
    "Test rows by how sure the network is of them: what its answers would be worth were they given only from a "
    "confidence on."
)
_WITHHELD = "This bundle gives answers from confidence {least:.4g} on (`{rule}`); other rows get none."
_NONE_GIVEN = "No confidence meets `{rule}` on the validation rows: this bundle gives no answer at all."
_CHOSEN = (
    " It was chosen on the validation rows, for which the accuracy holds with a confidence of 95%; the figures here "
    "are those of the test rows."
)
_SETS = (
    "{what} that hold the right answer in {coverage:.4g} of all rows of the same source (split conformal prediction): "
    "how far they reach was found on the validation rows, and they are measured on the test rows. {served}"
)
_SERVED = "Each answer of this bundle has one beside it."
_NOT_SERVED = "This bundle does not give them: `coverage: {coverage:.4g}` in the spec makes it."
_TOO_FEW = "Too few validation rows to find {what} that hold the right answer in {coverage:.4g} of all rows."
_LIMIT = (
    "Sets, intervals and thresholds hold for rows of the same source as the validation rows, which had also chosen the "
    "checkpoint and the temperature; and for all rows together, not for each class or group."
)


def check(context: Context) -> Finding:
    """Coverage and size of sets or intervals, answers given and withheld, and accuracy by confidence."""
    answers = context.output.answered(context.targets, context.outputs)
    assurance = _assurance(context, answers)
    made = {**selective.statistics(answers, assurance), **conformal.statistics(answers, assurance)}
    if not made and assurance == NO_ASSURANCE:
        return Finding()
    users, weights = context.test.of(context.output.user), context.test.weights
    found = quality.intervals(made, len(context.test), 1, context.seed, quality.RESAMPLES, users, weights)
    return Finding(found, {"confidence": _evidence(context, answers, assurance)})


def _assurance(context: Context, answers: Answers) -> Assurance:
    """What the bundle promises; where it promises no coverage, the sets that it could give, by the validation rows."""
    promised, none = context.output.assurance, not issubclass(context.output.answers, (OneOf, Amounts))
    if none or promised.coverage is not None or context.valid is None or not len(context.valid):
        return promised
    targets = context.output.targets(context.valid.values[context.output.name])
    known = context.output.answered(targets, context.model.outputs(context.valid.values))
    reach = conformal.reach(known, conformal.COVERAGE)
    return promised if reach is None else replace(promised, coverage=conformal.COVERAGE, reach=reach)


def _evidence(context: Context, answers: Answers, assurance: Assurance) -> dict[str, Any]:
    found: dict[str, Any] = {
        "coverage": assurance.coverage,
        "reach": assurance.reach,
        "served": context.output.assurance.coverage is not None,
        "answered_from": assurance.answered_from,
    }
    if isinstance(answers, OneOf):
        found["curve"] = [_point(context, point) for point in selective.curve(answers)]
        sets = [] if assurance.reach is None else conformal.of_classes(answers, assurance)
        names = ("class", "rows", "coverage", "set_size")
        found["classes"] = [
            dict(zip(names, one, strict=True)) for one in sorted(sets, key=lambda one: -one[1])[:_SHOWN]
        ]
    return found


def _point(context: Context, point: selective.Point) -> dict[str, float | None]:
    told: dict[str, float | None] = {"share": point.share, "confidence": point.confidence, "rows": point.rows}
    users, weights, rows = context.test.of(context.output.user), context.test.weights, len(context.test)
    found = quality.estimate(point.statistic, rows, context.seed, quality.RESAMPLES, users, weights, share=True)
    return told if found is None else {**told, "value": found.value, "low": found.low, "high": found.high}


def sections(manifest: Manifest) -> Iterator[Section]:
    """Answers by confidence, and sets or intervals."""
    found = manifest.evidence.get("confidence")
    if found:
        blocks = (*_given(manifest, found), *_sets(manifest, found))
        yield Section("How far confidence can be relied on", blocks, "Confidence")


def _measured(manifest: Manifest, room: str) -> dict[str, Measured]:
    return {name: one for name, one in manifest.measured.items() if name.startswith(room)}


def _given(manifest: Manifest, found: Mapping[str, Any]) -> Iterator[Block]:
    if not found.get("curve"):
        return
    least, rule = found["answered_from"], manifest.spec.get("answers") or ""
    if least is not None:
        said = _NONE_GIVEN if least == selective.NEVER else _WITHHELD + (_CHOSEN if "accuracy" in rule else "")
        yield Text(said.format(least=least, rule=rule))
    yield Text(_SURE)
    yield figures.table(_measured(manifest, "selective."))
    rows = tuple(
        (f"{p['share']:.0%}", f"{p['confidence']:.4f}", f"{p['rows']:,}", figures.of_evidence(p))
        for p in found["curve"]
    )
    head = ("most sure rows", "from confidence", "rows", "accuracy")
    yield Table(head, rows, frozenset({0, 1, 2, 3}), title="Accuracy by confidence", folded=True)


def _sets(manifest: Manifest, found: Mapping[str, Any]) -> Iterator[Block]:
    what = "Answer sets" if "curve" in found else "Intervals"
    coverage = found["coverage"]
    if coverage is None:
        return
    if found["reach"] is None:
        yield Text(_TOO_FEW.format(what=what.lower(), coverage=coverage))
        return
    served = _SERVED if found["served"] else _NOT_SERVED.format(coverage=coverage)
    yield Text(_SETS.format(what=what, coverage=coverage, served=served))
    yield figures.table(_measured(manifest, "conformal."))
    if classes := found.get("classes"):
        rows = tuple((c["class"], f"{c['rows']:,}", f"{c['coverage']:.3f}", f"{c['set_size']:.2f}") for c in classes)
        head = ("class", "rows", "coverage", "set size")
        yield Table(head, rows, frozenset({1, 2, 3}), title="Answer sets by class", folded=True)


def limits(manifest: Manifest) -> Iterator[str]:
    """What sets and thresholds hold for."""
    if manifest.evidence.get("confidence"):
        yield _LIMIT
