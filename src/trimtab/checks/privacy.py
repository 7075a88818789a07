"""What a bundle gives away of its data: whether rows can be told to have been learnt, and what its files quote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trimtab import columns, registry
from trimtab.audit import membership, quality
from trimtab.audit.membership import Attack
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import Outputs, dense, taken
from trimtab.data.table import Table, joined
from trimtab.metrics import Amounts, AnyOf, OneOf, Statistic
from trimtab.page import Block, Section, Text, figures
from trimtab.page import Table as Grid

PLACE = 3.3
AUC, FOUND = "privacy.membership_auc", "privacy.membership_tpr"
NAME = "privacy.membership"
_ROWS = 1_000  # of training, and as many of the test
_FEWEST = 100  # test rows from which one in a hundred can be counted
_THRESHOLD, _CALIBRATED, _REFERENCE = "loss threshold", "likelihood ratio", "reference alone"
_SAYS = (
    "Who has the bundle and a row can ask whether the row was learnt. Two attacks were tried on {rows:,} training rows "
    "and as many test rows: a small loss says learnt (Yeom et al. 2018), and a loss that is small beside that of a "
    "model that had not learnt the row (Watson et al. 2022). The reference alone has learnt neither side: where it "
    "tells them apart, the splits differ, and the attacks are credited with that."
)
_MORE = (
    "Membership was tried by two cheap attacks. One who trains many networks like this one (shadow models) can find "
    "more, and a network that passes both is not private for that."
)


def check(context: Context) -> Finding:
    """How well the attacks tell training rows from test rows; nothing without training rows, or without losses."""
    if context.train is None or not issubclass(context.output.answers, (OneOf, AnyOf, Amounts)):
        return Finding()
    count = min(_ROWS, len(context.train), len(context.test))
    known, asked = (
        np.sort(np.random.default_rng(context.seed).choice(len(table), count, replace=False))
        for table in (context.train, context.test)
    )
    table = joined([context.train.take(known), context.test.take(asked)])
    outputs = columns.joined([context.model.outputs(context.train.take(known).values), taken(context.outputs, asked)])
    attacks = _attacks(context, table, outputs, np.repeat([True, False], count))
    shown = {}
    for name, attack in attacks.items():
        statistics = {AUC: attack.auc()} | ({FOUND: attack.found()} if count >= _FEWEST else {})
        shown[name] = {of: _measured(context, one, 2 * count).model_dump() for of, one in statistics.items()}
    tried = [attack for name, attack in attacks.items() if name != _REFERENCE]
    found = {AUC: _measured(context, membership.worst([one.auc() for one in tried]), 2 * count)}
    if count >= _FEWEST:
        found[FOUND] = _measured(context, membership.worst([one.found() for one in tried]), 2 * count)
    few = f"of {count} test rows one in a hundred cannot be told: {_FEWEST} are needed"
    return Finding(found, {NAME: {"rows": count, "attacks": shown}}, {} if FOUND in found else {FOUND: few})


def _attacks(context: Context, table: Table, outputs: Outputs, learnt: np.ndarray) -> dict[str, Attack]:
    """Each attack by its name, and the reference model's own, which cannot know."""
    targets = context.output.targets(table.values[context.output.name])
    own = membership.losses(context.output.answered(targets, outputs))
    assert own is not None
    found = {_THRESHOLD: Attack(-own, learnt)}
    reference = _reference(context, table, targets)
    if reference is not None:
        found |= {_CALIBRATED: Attack(reference - own, learnt), _REFERENCE: Attack(-reference, learnt)}
    return found


def _reference(context: Context, table: Table, targets: Any) -> np.ndarray | None:
    """The loss of each row by a linear model that did not learn it, (rows,); None where there is none."""
    output = context.output
    if issubclass(output.answers, AnyOf) or output.baselines is None or not isinstance(targets, np.ndarray):
        return None
    known = dense(targets)
    if issubclass(output.answers, OneOf):
        if (np.bincount(known, minlength=len(output.classes)) > 1).sum() < 2:
            return None
        fit = registry.attribute("trimtab.audit.cross_fitted", "chances")
        simple = fit(context.inputs, table, known, len(output.classes), context.seed)
    else:
        simple = registry.attribute("trimtab.audit.cross_fitted", "numbers")(context.inputs, table, known, context.seed)
    return membership.losses(output.answered_simply(targets, simple))


def _measured(context: Context, statistic: Statistic, rows: int) -> Measured:
    found = quality.estimate(statistic, rows, context.seed, share=True)
    assert found is not None
    return Measured(value=found.value, low=found.low, high=found.high)


def sections(manifest: Manifest) -> Iterator[Section]:
    """What the attacks reach, and what the files quote."""
    yield Section("Privacy", tuple(_membership(manifest)))
    held = tuple(store.quoted(manifest))
    yield Section(
        "What this bundle tells of its data",
        (Grid(("where", "what"), held, codes=frozenset({0}), fixed=frozenset({1})),),
        "Quotes",
    )


def _membership(manifest: Manifest) -> Iterator[Block]:
    told = manifest.evidence.get(NAME)
    if told:
        yield figures.table({name: one for name, one in manifest.measured.items() if name in (AUC, FOUND)})
        yield Text(_SAYS.format(**told))
        rows = tuple(
            (name, *(figures.of_evidence(found.get(key)) for key in (AUC, FOUND)))
            for name, found in told["attacks"].items()
        )
        yield Grid(("attack", "AUC", "true positives at 1% false ones"), rows, frozenset({1, 2}))


def limits(manifest: Manifest) -> Iterator[str]:
    """What the attacks do not show; that there were none."""
    yield _MORE if NAME in manifest.evidence else "Not measured: how much the network gives away of its training rows."
