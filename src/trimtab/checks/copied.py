"""Whether answers that are written are those of training, word for word: what a network has by heart, it gives away.

Of texts that are learnt by themselves, what is written behind the beginnings of test rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trimtab import metrics
from trimtab.audit import quality
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.metrics import Continued, Texts, share
from trimtab.page import Block, Section, Table, Text, figures

PLACE = 3.35
COPIED = "privacy.copied"
_EVIDENCE = "privacy.copies"
_REPEATED = "repeated"
_SHOWN = "continued"
_FILE = "copied_answers"  # of the run's folder: rows for the user's own eyes
_SAYS = (
    "Of {rows:,} test rows {long:,} were answered with {least} words or more. Who asks gets a copied answer whole, "
    "whoever it was about. Of the right answers to the same rows {right:.1%} stand in the training rows too: so much "
    "is said alike without being learnt by heart."
)
_SAYS_ON = "Test rows, of which the beginning was given, and what was written on; beside it how they really go on."
_ROWS = 100  # test rows that are begun
_ON = (96, 12)  # tokens that are written on, and words of them that are looked at
_EXAMPLES = 8


def check(context: Context) -> Finding:
    """The share of long answers that stand in the training rows; nothing without these, or where nothing is written."""
    if not issubclass(context.output.answers, Texts):
        return Finding()
    answers, more = _answers(context)
    if context.train is None or answers.given is None:
        return more
    known = [str(value) for value in context.train.values[context.output.name]]
    found, right = (metrics.copies(texts, known) for texts in (answers.given, answers.true))
    estimate = quality.estimate(share(found[:, 0], found[:, 1]), len(found), context.seed, share=True)
    if estimate is None:
        few = f"no answer to a test row has {metrics.LONG} words or more"
        return replace(more, remarks={COPIED: few})
    measured = Measured(value=estimate.value, low=estimate.low, high=estimate.high)
    alike = float(right[:, 0].sum() / max(1.0, right[:, 1].sum()))
    told = {"rows": len(found), "long": int(found[:, 1].sum()), "least": metrics.LONG, "right": alike}
    return replace(
        more,
        measured={**more.measured, COPIED: measured},
        evidence={**more.evidence, _EVIDENCE: told},
        listed={_FILE: _listed(context, answers.given, found)},
    )


def _answers(context: Context) -> tuple[Texts, Finding]:
    """What was written beside what is right, and what else is found of it."""
    if not issubclass(context.output.answers, Continued):
        answers = context.output.answered(context.targets, context.outputs)
        assert isinstance(answers, Texts)
        return answers, Finding()
    picked = np.unique(np.linspace(0, len(context.rows) - 1, min(_ROWS, len(context.rows))).astype(np.int64)).tolist()
    (column,) = context.model.inputs
    begun = [str(context.rows[row][column.name]) for row in picked]
    texts = [str(context.test.values[context.output.name][row]) for row in picked]
    rest = [text.removeprefix(beginning) for text, beginning in zip(texts, begun, strict=True)]
    asked = context.model.writing(longest=min(_ON[0], context.model.program.options.longest))
    given = context.output.decode(asked.outputs({column.name: begun}))[context.output.name]
    right, found = ([" ".join(text.split()[: _ON[1]]) for text in texts] for texts in (rest, given))
    runs = metrics.named(_REPEATED).of[Texts](Continued(rest, given))
    estimate = quality.estimate(runs, len(given), context.seed, share=True)
    measured = (
        {} if estimate is None else {_REPEATED: Measured(value=estimate.value, low=estimate.low, high=estimate.high)}
    )
    lines = [
        {"begun": one, "written": text, "true": true[: len(text)]}
        for one, text, true in zip(begun[:_EXAMPLES], given, rest, strict=False)
    ]
    return Continued(right, found), Finding(measured, {_SHOWN: lines} if context.quotes else {})


def _listed(context: Context, given: Sequence[str], found: np.ndarray) -> list[dict[str, Any]]:
    """The rows, with what was written; of what was begun this alone."""
    own = context.rows if len(context.rows) == len(given) else [{}] * len(given)
    return [{**own[row], "answer": given[row]} for row in np.flatnonzero(found[:, 0]).tolist()]


def sections(manifest: Manifest) -> Iterator[Section]:
    """How much was copied."""
    yield Section("Copied answers", tuple(_blocks(manifest)))
    shown = manifest.evidence.get(_SHOWN)
    if shown:
        rows = tuple((one["begun"], one["written"], one["true"]) for one in shown)
        yield Section("Written on", (Text(_SAYS_ON), Table(("begun", "written", "true"), rows)), "Written")


def _blocks(manifest: Manifest) -> Iterator[Block]:
    told = manifest.evidence.get(_EVIDENCE)
    if told:
        yield figures.table({name: one for name, one in manifest.measured.items() if name == COPIED})
        yield Text(_SAYS.format(**told))
