"""Whether answers that are written are those of training, word for word: what a network has by heart, it gives away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trimtab import metrics
from trimtab.audit import quality
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.metrics import Written, share
from trimtab.page import Block, Section, Text, figures

PLACE = 3.35
COPIED = "privacy.copied"
_EVIDENCE = "privacy.copies"
_FILE = "copied_answers"  # of the run's folder: rows for the user's own eyes
_SAYS = (
    "Of {rows:,} test rows {long:,} were answered with {least} words or more. Who asks gets a copied answer whole, "
    "whoever it was about. Of the right answers to the same rows {right:.1%} stand in the training rows too: so much "
    "is said alike without being learnt by heart."
)


def check(context: Context) -> Finding:
    """The share of long answers that stand in the training rows; nothing without these, or where nothing is written."""
    if context.train is None or not issubclass(context.output.answers, Written):
        return Finding()
    answers = context.output.answered(context.targets, context.outputs)
    assert isinstance(answers, Written)
    if answers.given is None:
        return Finding()
    known = [str(value) for value in context.train.values[context.output.name]]
    found, right = (metrics.copies(texts, known) for texts in (answers.given, answers.true))
    estimate = quality.estimate(share(found[:, 0], found[:, 1]), len(found), context.seed, share=True)
    if estimate is None:
        few = f"no answer to a test row has {metrics.LONG} words or more"
        return Finding(remarks={COPIED: few})
    measured = Measured(value=estimate.value, low=estimate.low, high=estimate.high)
    alike = float(right[:, 0].sum() / max(1.0, right[:, 1].sum()))
    told = {"rows": len(found), "long": int(found[:, 1].sum()), "least": metrics.LONG, "right": alike}
    written = [{**context.rows[row], "answer": answers.given[row]} for row in np.flatnonzero(found[:, 0]).tolist()]
    return Finding({COPIED: measured}, {_EVIDENCE: told}, listed={_FILE: written})


def sections(manifest: Manifest) -> Iterator[Section]:
    """How much was copied."""
    yield Section("Copied answers", tuple(_blocks(manifest)))


def _blocks(manifest: Manifest) -> Iterator[Block]:
    told = manifest.evidence.get(_EVIDENCE)
    if told:
        yield figures.table({name: one for name, one in manifest.measured.items() if name == COPIED})
        yield Text(_SAYS.format(**told))
