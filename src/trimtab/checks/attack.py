"""Whether right answers survive typing errors that are made on purpose: see `audit/attack.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trimtab.audit import attack, quality
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import taken
from trimtab.metrics import OneOf, mean
from trimtab.page import Section, Text, figures

NAME = "attack.survival"
PLACE = 4.1
_ROWS = 30  # texts that are attacked
_SAYS = (
    "Attack: of {rows} texts that are answered rightly {share} still are when up to {words} words are mistyped on "
    "purpose: those that the answer leans on most, found by leaving words out, with at most {calls} calls of the "
    "served files for each text."
)


def check(context: Context) -> Finding:
    """The share of right answers that survive; nothing without a text, or of answers that are not one class."""
    names = [column.name for column in context.inputs if column.is_text]
    answers = context.output.answered(context.targets, context.outputs) if names and len(context.test) else None
    if not isinstance(answers, OneOf):
        return Finding()
    texts, right = context.test.values[names[0]], np.flatnonzero(answers.chosen == answers.true)
    usable = [row for row in right.tolist() if isinstance(texts[row], str) and attack.can_be(texts[row])]
    if not usable:
        return Finding()
    spread = np.unique(np.linspace(0, len(usable) - 1, min(_ROWS, len(usable))).astype(np.int64))
    rows = np.array(usable)[spread]
    ask = _asking(context, names[0], rows)
    _, alive = attack.attacked([texts[row] for row in rows.tolist()], ask, np.random.default_rng(context.seed))
    found = quality.estimate(mean(alive), len(rows), context.seed, share=True)
    low, high = (None, None) if found is None else (found.low, found.high)
    return Finding({NAME: Measured(value=float(alive.mean()), low=low, high=high)}, {"attack": {"rows": len(rows)}})


def _asking(context: Context, name: str, rows: np.ndarray) -> attack.Ask:
    """What the served files say of variants of the texts of some test rows, whose other inputs stay."""
    held = context.test.take(rows).values
    values = {column.name: list(held[column.name]) for column in context.model.inputs}
    targets = taken(context.targets, rows)

    def ask(whose: Sequence[int], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        given = {key: [every[row] for row in whose] for key, every in values.items()} | {name: list(texts)}
        own = taken(targets, np.array(whose, np.int64))
        found = context.output.answered(own, context.model.outputs(given))
        assert isinstance(found, OneOf)
        return found.chances[np.arange(len(whose)), found.true], found.chosen == found.true

    return ask


def sections(manifest: Manifest) -> Iterator[Section]:
    """One sentence, where robustness is told of."""
    measured, found = manifest.measured.get(NAME), manifest.evidence.get("attack")
    if measured and found:
        said = _SAYS.format(
            rows=found["rows"], share=figures.whole(measured), words=attack.WORDS_CHANGED, calls=attack.CALLS
        )
        yield Section("Robustness", (Text(said),))
