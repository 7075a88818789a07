"""The stage `choose`: with few labelled rows, the training method is taken by cross-validation over all of them.

A tenth of 32 rows would choose nothing: here every row is answered once, by a network that learnt from the others.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trimtab import files
from trimtab.columns import EncodedRows, dense, encode_rows
from trimtab.nets.network import Network
from trimtab.pipeline.training import build, few_data
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, by_method, few_rows
from trimtab.request.few_rows import HeldOut
from trimtab.spec import Part
from trimtab.train import devices, fitted_head, frozen, logistic, loop, methods
from trimtab.train.fitted_head import Known
from trimtab.train.method import TrainingData
from trimtab.train.methods.contrastive import ContrastiveMethod

_FOLDS = 3
_TOKENS = 24_000  # that networks learn from in cross-validation, all folds together: half a minute of two cores
_FEWEST_STEPS = 5
# Standard errors by which another way must be ahead of the usual one: a free change of the head; no pairs at all, which
# were behind in every draw that was measured (LOG, 2026-11-29).
_HEAD, _NO_PAIRS = 0.5, 1.0
_SHARE = 0.8  # of the rows without an answer that self-training believes in the end
TO_LABEL = "to_label.jsonl"
_NEXT, _UNSURE = 10, 2  # rows to label, of so many times as many unsure ones
_Z = 1.96  # standard deviations of a 95% interval


@dataclass(frozen=True)
class Way:
    """A way to learn, with what it answered to each labelled row without having learnt that row."""

    part: Part
    said: str
    logits: np.ndarray  # (rows, classes)
    targets: np.ndarray  # (rows,)

    @property
    def right(self) -> np.ndarray:
        """Whether each row was answered rightly, (rows,) float."""
        return np.asarray(self.logits.argmax(1) == self.targets, np.float64)

    def ahead_of(self, usual: Way) -> float:
        """Standard errors by which it answers more rows rightly, as if one row more told both apart (McNemar 1947)."""
        gained = self.right - usual.right
        return float(gained.sum() / np.sqrt(np.abs(gained).sum() + 1))

    def told(self) -> str:
        """Its accuracy with the 95% interval of a share of few rows (Wilson 1927)."""
        rows, share = len(self.targets), float(self.right.mean())
        middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
        side = _Z * float(np.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))) / (1 + _Z**2 / rows)
        return f"{self.said} {share:.2f} ({max(0.0, middle - side):.2f} to {min(1.0, middle + side):.2f})"


def chosen(request: Request, folder: Path, progress: Progress) -> Request:
    """The request with the training method that cross-validation takes; as it is where there is nothing to choose.

    `folder` holds the networks of the folds meanwhile.
    """
    if not request.ways:
        return request
    data = few_data(request)
    progress.stage("choose", f"{len(data.train)} labelled rows: {_FOLDS}-fold cross-validation")
    usual = request.ways[0]
    if len(request.ways) == 1:
        return _held_out(request, data, usual, folder)
    probe = request.ways[1]
    heads = _heads(request, data)
    head = best(heads, _HEAD)
    progress.note(f"on the pretrained encoder: {', '.join(way.told() for way in heads)}")
    pairs = Way(usual, usual.name, _by_pairs(by_method(request, usual), data, folder), dense(data.train_targets))
    taken = best([pairs, replace(heads[0], part=probe, said=probe.name)], _NO_PAIRS)
    part = Part.model_validate({"name": taken.part.name, **head.part.options})
    reason = (
        f"{len(data.train)} labelled rows, all learnt from; by cross-validation {pairs.told()}, {heads[0].told()}"
        + (f"; {head.said} {head.right.mean():.2f} of the latter" if head is not heads[0] else "")
    )
    progress.note(f"train.method: {part.name} {part.options or ''} ({reason})".replace("  ", " "))
    found = by_method(replace(request, ways=()), part, reason)
    held_out = taken if taken is pairs else head
    return replace(found, held_out=HeldOut(held_out.targets, held_out.logits))


def _held_out(request: Request, data: TrainingData, part: Part, folder: Path) -> Request:
    """The request whose training method is asked for, with the answers to rows that were not learnt."""
    method = methods.made(part)
    if isinstance(method, ContrastiveMethod):
        logits = _by_pairs(request, data, folder)
    else:
        logits = _head(_known(request, data, build(request).to(devices.device())), part.name, part).logits
    return replace(request, ways=(), held_out=HeldOut(dense(data.train_targets), logits))


def best(ways: list[Way], sure: float) -> Way:
    """The first, unless others are ahead of it by so many standard errors; then the best of those."""
    ahead = [way for way in ways[1:] if way.ahead_of(ways[0]) > sure]
    return max(ahead, key=lambda way: way.right.mean(), default=ways[0])


def name_next(request: Request, network: Network, home: Path, progress: Progress) -> Request:
    """Write the rows without an answer that are most worth a label to `to_label.jsonl`, and tell of them.

    The request comes back with them, for the card; as it is where no rows without an answer were read.
    """
    if request.held_out is None or not request.unlabelled:
        return request
    more = encode_rows(request.inputs, request.unlabelled)
    read = few_rows.read_rows(more, request.spec.seed)
    more = more.take(read)
    vectors = frozen.vectors(network, more, request.settings.batch_tokens * 2, devices.device()).values
    layer = logistic.linear(network)
    logits = vectors @ layer.weight.detach().cpu().numpy().T + layer.bias.detach().cpu().numpy()
    picked = read[to_label(vectors, logits, _NEXT)]
    rows = [{name: values[row] for name, values in request.unlabelled.items()} for row in picked.tolist()]
    target = home / TO_LABEL
    files.write(target, "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows))
    progress.note(f"to label next, {len(rows)} rows that it is least sure of and that are unlike each other: {target}")
    return replace(request, to_label=tuple(rows))


def to_label(vectors: np.ndarray, logits: np.ndarray, count: int) -> np.ndarray:
    """The rows that are most worth a label: of those with the narrowest lead of an answer, some that lie far apart.

    The first is the one with the narrowest lead; each next one lies farthest from those before (Sener 2018).
    """
    top = np.sort(logits, axis=1)
    unsure = np.argsort(top[:, -1] - top[:, -2], kind="stable")[: count * _UNSURE]
    unit = vectors[unsure] / np.maximum(np.linalg.norm(vectors[unsure], axis=1, keepdims=True), 1e-9)
    picked = [0]
    nearest = unit @ unit[0]
    while len(picked) < min(count, len(unsure)):
        nearest[picked] = np.inf
        picked.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, unit @ unit[picked[-1]])
    return np.asarray(unsure[picked])


def _heads(request: Request, data: TrainingData) -> list[Way]:
    """Heads on the pretrained encoder's vectors, the plain one first: each costs a regression for each fold."""
    network = build(request).to(devices.device())
    known = _known(request, data, network)
    options: list[tuple[str, dict[str, object]]] = [("probe", {})]
    if known.names is not None:
        options.append(("with the classes' names", {"class_names": True}))
    if known.unlabelled is not None:
        options.append(("with rows without an answer", {"self_training": _SHARE}))
    if known.names is not None and known.unlabelled is not None:
        options.append(("with both", {"class_names": True, "self_training": _SHARE}))
    return [_head(known, said, Part.model_validate({"name": "probe", **own})) for said, own in options]


def _head(known: Known, said: str, part: Part) -> Way:
    method = methods.made(part)
    assert isinstance(method, fitted_head.FittedHead)
    logits = np.zeros((len(known.targets), known.classes))
    for held in folds(known.targets):
        learnt = np.setdiff1d(np.arange(len(known.targets)), held)
        found = fitted_head.fitted(known.of(learnt), method.strength, method.class_names, method.self_training)
        logits[held] = found.logits(known.vectors[held])
    return Way(part, said, logits, known.targets)


def _known(request: Request, data: TrainingData, network: Network) -> Known:
    def vectors(rows: object) -> np.ndarray | None:
        if not isinstance(rows, EncodedRows):
            return None
        return frozen.vectors(network, rows, request.settings.batch_tokens * 2, devices.device()).values

    balanced = request.settings.class_weights == "balanced"
    own = vectors(data.train)
    assert own is not None
    targets = dense(data.train_targets)
    more, names = vectors(data.unlabelled), vectors(data.names)
    return Known(own, targets, data.output.width, data.weights, balanced, more, names)


def _by_pairs(request: Request, data: TrainingData, folder: Path) -> np.ndarray:
    """What networks that learnt from the rows of the other folds answer to each row, (rows, classes)."""
    targets = dense(data.train_targets)
    rows = data.train
    assert isinstance(rows, EncodedRows)
    assert request.settings.training_method is not None
    method = methods.made(_shortened(request.settings.training_method, rows))
    logits = np.zeros((len(targets), data.output.width))
    for number, held in enumerate(folds(targets)):
        learnt = np.setdiff1d(np.arange(len(targets)), held)
        weights = None if data.weights is None else data.weights[learnt]
        apart = (rows.take(learnt), targets[learnt], rows.take(held), targets[held])
        own = TrainingData(*apart, data.output, None, weights)
        network = build(request)
        place = folder / str(number)
        shutil.rmtree(place, ignore_errors=True)
        loop.train(network, own, request.settings, place, Quiet(), method)
        answers = loop.predict(network, rows.take(held), request.settings.batch_tokens * 2, devices.device())
        logits[held] = dense(answers)
        shutil.rmtree(place)
    return logits


def _shortened(part: Part, rows: EncodedRows) -> Part:
    """The method with as few steps as cross-validation can afford."""
    method = methods.made(part)
    assert isinstance(method, ContrastiveMethod)
    count, batch = method.steps_for(len(rows)), method.rows
    most = int(_TOKENS / (_FOLDS * batch * max(1.0, float(rows.steps.mean()))))
    return Part.model_validate({"name": part.name, **part.options, "steps": max(_FEWEST_STEPS, min(count, most))})


def folds(targets: np.ndarray) -> list[np.ndarray]:
    """The rows of each fold, each with its share of every class; fewer folds where no class has as many rows."""
    rank = np.zeros(len(targets), np.int64)
    for one in np.unique(targets):
        members = np.flatnonzero(targets == one)
        rank[members] = np.random.default_rng(int(one)).permutation(len(members))
    folds = rank % _FOLDS
    return [np.flatnonzero(folds == number) for number in np.unique(folds)]
