"""What drawn pictures are like: as a set beside real ones, for what they were drawn, and whether they are copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trimtab.audit import drawn, quality
from trimtab.audit.drawn import Judge
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import dense
from trimtab.metrics import Drawn, Statistic, mean
from trimtab.page import Block, Plots, Section, Text, figures

PLACE = 2.5
NAME, PLOT = "drawn", "drawn"
FRECHET, PRECISION, RECALL = "frechet_distance", "drawn_precision", "drawn_recall"
RECOGNISED, COPIES = "recognised", "near_copies"
_LEAST_ROWS = 50  # test rows from which sets of pictures are compared
_RESAMPLES = 200
_SHOWN = 12  # rows of the contact sheet
_JUDGED = (
    "Frechet distance, precision and recall are measured in the features of a small network that was trained on the "
    "same training rows ({lesson}; {accuracy:.1%} of {rows:,} real test pictures right). They compare bundles of the "
    "same data, and are no figures of the Inception network that papers give."
)
_LIMIT = "Between two halves of the {pictures:,} real test pictures the Frechet distance is {real:.3g}."
_KNOWN = (
    "A near-copy is at most half as far from a training picture as the median real test picture is: {bound:.3g} levels "
    "of 255 (root mean square). Of the real test pictures {share:.1%} are."
)


def check(context: Context) -> Finding:
    """Measures of drawn pictures as a set; nothing for other answers."""
    if not issubclass(context.output.answers, Drawn):
        return Finding()
    answers = context.output.answered(context.targets, context.outputs)
    assert isinstance(answers, Drawn)
    found: dict[str, Measured] = {}
    evidence: dict[str, Any] = {}
    judge = drawn.judge(context.model.folder)
    if judge is not None:
        _judged(context, answers, judge, found, evidence)
    if context.train is not None:
        known = dense(context.output.targets(context.train.values[context.output.name]))
        copies, real, bound = drawn.near_copies(answers.drawn, answers.true, known)
        found[COPIES] = _measured(context, mean(copies), share=True)
        evidence |= {"bound": bound, "real_copies": float(real.mean())}
    sheet = {PLOT: _sheet(context, answers)} if context.quotes else {}
    return Finding(found, {NAME: evidence} if evidence else {}, pictures=sheet)


def _judged(
    context: Context, answers: Drawn, judge: Judge, found: dict[str, Measured], evidence: dict[str, Any]
) -> None:
    """What the judge says of the drawn pictures."""
    seen, own = judge.look(answers.drawn)
    _, real = judge.look(answers.true)
    evidence |= {"input": judge.input, "accuracy": judge.accuracy, "rows": judge.rows}
    if judge.input is not None and judge.input in context.test.values:
        places = {name: place for place, name in enumerate(judge.classes)}
        wanted = np.array([places.get(name, -1) for name in drawn.names(context.test.values[judge.input])], np.int64)
        found[RECOGNISED] = _measured(context, mean(seen == wanted), share=True)
    if len(own) >= _LEAST_ROWS:
        found[FRECHET] = _measured(context, drawn.frechet(own, real), _RESAMPLES)
        found[PRECISION] = _measured(context, mean(drawn.within(own, real)), share=True)
        found[RECALL] = _measured(context, mean(drawn.within(real, own)), share=True)
        half = np.random.default_rng(context.seed).permutation(len(real))[: len(real) // 2 * 2].reshape(2, -1)
        evidence["pictures"] = len(real)
        evidence["real_frechet"] = float(drawn.frechet(real[half[0]], real[half[1]])(np.ones((half.shape[1], 1)))[0])


def _measured(
    context: Context, statistic: Statistic, resamples: int = quality.RESAMPLES, share: bool = False
) -> Measured:
    made = quality.estimate(
        statistic,
        len(context.test),
        context.seed,
        resamples,
        context.test.of(context.output.user),
        context.test.weights,
        share=share,
    )
    assert made is not None
    return Measured(value=made.value, low=made.low, high=made.high)


def _sheet(context: Context, answers: Drawn) -> np.ndarray:
    """Some rows: pictures that are read, then the one that was wanted, then the drawn one."""
    picked = np.unique(np.linspace(0, len(answers.true) - 1, _SHOWN).astype(np.int64))
    names = [column.name for column in context.inputs if column.simply == "pixels"]
    read = [context.output.targets([context.test.values[name][row] for row in picked]) for name in names]
    columns = [dense(one).reshape(answers.true[picked].shape) for one in read]
    columns += [answers.true[picked], answers.drawn[picked]]
    grid = np.stack(columns, axis=1).transpose(0, 1, 3, 4, 2)
    return np.asarray(np.broadcast_to(grid, (*grid.shape[:-1], 3)) if grid.shape[-1] == 1 else grid)


def sections(manifest: Manifest) -> Iterator[Section]:
    """The measures, what measured them, and some pictures."""
    yield Section("Drawn pictures", tuple(_blocks(manifest)), "Drawn")


def _blocks(manifest: Manifest) -> Iterator[Block]:
    told = manifest.evidence.get(NAME)
    if not told:
        return
    yield figures.table({name: one for name, one in manifest.measured.items() if name in _MEASURES})
    if "accuracy" in told:
        lesson = f"it tells the classes of {told['input']}" if told["input"] else "it tells how a picture was turned"
        yield Text(_JUDGED.format(lesson=lesson, accuracy=told["accuracy"], rows=told["rows"]))
    if "real_frechet" in told:
        yield Text(_LIMIT.format(pictures=told["pictures"], real=told["real_frechet"]))
    if "bound" in told:
        yield Text(_KNOWN.format(bound=told["bound"], share=told["real_copies"]))
    yield Text("Rows of the test data: pictures that are read, the one that was wanted, the one that was drawn.")
    yield Plots((PLOT,))


_MEASURES = frozenset({FRECHET, PRECISION, RECALL, RECOGNISED, COPIES})
