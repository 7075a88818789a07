"""The network goes on learning: from new rows and replayed old ones, at the rate that is best on validation rows.

Without old rows, what the network answered to the new rows before is kept beside their answers (`methods/lwf.py`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from trimtab import columns
from trimtab.adapt.requested import Asked
from trimtab.bundle.manifest import Automatic, Stage
from trimtab.columns import EncodedRows, Named, OutputColumn, Outputs, Targets, dense, encode_rows, taken
from trimtab.compress import distil, teacher
from trimtab.nets import fitted
from trimtab.nets.encoders.text import TextEncoder
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.network import Network
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, mitigation, resume
from trimtab.train import devices, loop
from trimtab.train.method import Method, TrainingData
from trimtab.train.methods.lwf import EARLIER, TRUE, LwfMethod
from trimtab.train.score import score
from trimtab.train.settings import Settings

_RATES = (1.0, 0.3, 0.1)  # of the rate that a launch takes
_FEW = 100  # new rows below which the head alone may learn, on an encoder that stays as it is
_HEAD_RATE = 1e-3
_PASSES = 2  # over the rows, of a pretrained network
_STEPS, _MOST_PASSES = 400, 20  # that are aimed at, of one from scratch
_TRIAL_SHARE, _TRIAL_ROWS = 0.15, 96  # of the rows that a rate is tried on; of a network from scratch all of them
_VALID_ROWS = 100  # old ones that rates are chosen by
_OF_EACH = 2  # replayed rows of every class, at least


@dataclass(frozen=True)
class Taught:
    """The network that has learnt the new rows, and how."""

    network: FittedNetwork
    request: Request  # with what was chosen
    history: list[dict[str, float]]
    stage: Stage


@dataclass(frozen=True)
class _Try:
    """A way to go on: which weights learn, and at which rate."""

    method: str
    rate: float

    def told(self) -> str:
        """For people."""
        return f"{self.rate:.2g}{' (head alone)' if self.method == 'frozen' else ''}"


def taught(asked: Asked, folder: Path, progress: Progress) -> Taught:
    """Teach the network; a run that was killed goes on in `folder`, where the request is the same."""
    begun = time.perf_counter()
    resume.begin(folder, f"{resume.train_key(asked.request)} {asked.source.manifest.hash}")
    data, method, told = _data(asked)
    progress.stage("adapt", told)
    before = _scored(asked, data)
    by = _chosen_by(asked.request)
    progress.note(f"{by} on the validation rows before: {before:.4g}")
    ways = _ways(asked)
    found = {way: _tried(asked, data, way, method, folder / f"try-{at}") for at, way in enumerate(ways)}
    best = max(ways, key=lambda way: found[way][1]) if len(ways) > 1 else ways[0]
    reason = "; ".join(f"{way.told()} {found[way][0]:.4g}" for way in ways)
    progress.note(f"train.learning_rate: {best.told()} ({by} on the validation rows, each learnt a little: {reason})")
    settings = _settings(asked, best, data)
    network = _copy(asked.network)
    trained = loop.train(network, data, settings, folder / "whole", progress, method)
    request = replace(
        asked.request, settings=settings, automatic=_chosen(asked.request, best, settings, f"{by}: {reason}")
    )
    detail = {
        "steps": trained.steps,
        "best": trained.best,
        "before": before,
        "replayed": len(data.train) - asked.mixed.count("train", True),
        "tried": {way.told(): found[way][0] for way in ways},
    }
    done = replace(asked.network, network=network.cpu().eval())
    stage = Stage(name="adapt", seconds=time.perf_counter() - begun, detail=detail)
    return Taught(done, request, trained.history, stage)


def _data(asked: Asked) -> tuple[TrainingData, Method | None, str]:
    """What is learnt, by which method, and the same in words."""
    request, new = asked.request, asked.mixed.new
    output = request.output
    fresh, held = np.flatnonzero(new["train"]), np.flatnonzero(~new["train"])
    answers = output.targets(request.prepared.splits.train.values[output.name])
    replayed = _replayed(output, answers, held, len(fresh), request.spec.seed)
    rows = np.concatenate([fresh, replayed])
    targets: Targets = taken(answers, rows)
    method, told = _without_forgetting(asked) if not len(replayed) else (None, f"{len(replayed):,} old ones replayed")
    if method is not None:
        parts = targets.parts if isinstance(targets, Named) else {TRUE: targets}
        targets = Named({**parts, EARLIER: _earlier(asked)})
    picked, valid_weights = _valid(asked)
    valid_answers = output.targets(request.prepared.splits.valid.values[output.name])
    data = TrainingData(
        request.train.take(rows),
        targets,
        request.valid.take(picked),
        taken(valid_answers, picked),
        output,
        None,
        _weights(request, rows),
        valid_weights,
    )
    return data, method, f"{len(fresh):,} new rows, {told}"


def _replayed(output: OutputColumn, answers: Targets, held: np.ndarray, count: int, seed: int) -> np.ndarray:
    """As many old rows as there are new ones, at random; of each class its share, and no class without any."""
    random = np.random.default_rng(seed)
    drawn = random.permutation(held)
    if not output.one_class or not len(held):
        return np.sort(drawn[:count])
    classes = dense(taken(answers, drawn))
    ordered = drawn[np.argsort(classes, kind="stable")]
    share = ordered[np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).astype(np.int64))]
    first = [drawn[np.flatnonzero(classes == one)[:_OF_EACH]] for one in np.unique(classes)]
    return np.unique(np.concatenate([share, *first]))


def _without_forgetting(asked: Asked) -> tuple[Method | None, str]:
    """The method that keeps what the network answered, where the type of answers has a loss for it."""
    output, before = asked.request.output, asked.source.network.output
    against = distil.against_a_teacher(output)
    if against is None:
        return (
            None,
            f"no old ones, and answers of type {columns.word(output.type)} that cannot be held against earlier ones",
        )
    places = {name: place for place, name in enumerate(output.answer_names)}
    known = tuple(places[name] for name in before.answer_names) or tuple(range(before.width))
    return LwfMethod(against=against, known=known), "no old ones: the earlier answers to them are kept beside their own"


def _earlier(asked: Asked) -> Any:
    """What the network answered to the new training rows before."""
    before = asked.source.network
    values = asked.request.prepared.splits.train.values
    return teacher.outputs_of(before, encode_rows(before.inputs, values), asked.request.settings.precision)[0]


def _valid(asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """The validation rows that choose, and their weights: the old ones count as much as the new ones together."""
    new = asked.mixed.new["valid"]
    fresh, held = np.flatnonzero(new), np.flatnonzero(~new)
    some = held[np.unique(np.linspace(0, len(held) - 1, min(len(held), _VALID_ROWS)).astype(np.int64))]
    rows = np.concatenate([fresh, some]) if len(held) else fresh
    weights = np.ones(len(rows))
    if len(held) and len(fresh):
        weights[: len(fresh)], weights[len(fresh) :] = 0.5 / len(fresh), 0.5 / len(some)
    own = asked.request.prepared.splits.valid.weights
    weights = weights if own is None else weights * own[rows]
    return rows, weights / weights.mean()


def _weights(request: Request, rows: np.ndarray) -> np.ndarray | None:
    """How much each row counts: as the spec says, and rare classes more where they are balanced."""
    train = request.prepared.splits.train
    own = mitigation.weights(request.spec, request.output, request.inputs, [train])
    found = None if own is None else own[rows]
    if request.settings.class_weights != "balanced":
        return found
    classes = dense(request.output.targets(train.values[request.output.name]))[rows]
    rare = 1 / np.bincount(classes)[classes]
    found = rare if found is None else found * rare
    return np.asarray(found / found.mean(), np.float32)


# ------------------------------------------------------------------------------------------------------------ ways


def _ways(asked: Asked) -> list[_Try]:
    """What is tried: the usual rate and lower ones; where new rows are few, the head alone."""
    settings, rows = asked.request.settings, asked.mixed.count("train", True)
    based = any(True for _ in asked.network.network.pretrained())
    alone = [_Try("frozen", _HEAD_RATE)] if based and asked.network.network.fusion is not None else []
    if settings.method == "frozen" and alone:
        return alone
    rates = _RATES if asked.request.spec.train.learning_rate is None else (1.0,)
    whole = [_Try("full" if based else "scratch", rate * settings.learning_rate) for rate in rates]
    return [*(alone if rows < _FEW and len(rates) > 1 else []), *whole]


def _settings(asked: Asked, way: _Try, data: TrainingData) -> Settings:
    """Those of the launch, for going on."""
    known, rows = asked.request.settings, len(data.train)
    batch = max(1, round(rows * known.batch_tokens / max(1, int(data.train.steps.sum()))))
    most = int(np.clip(round(_STEPS * batch / rows), 3, _MOST_PASSES))
    passes = _MOST_PASSES if way.method == "frozen" else _PASSES if way.method == "full" else most
    if asked.request.spec.train.epochs:
        passes = known.epochs
    grown = asked.request.output != asked.source.network.output
    return replace(
        known,
        method=way.method,
        training_method=None,
        epochs=passes,
        learning_rate=way.rate,
        head_rate=max(way.rate, min(1e-3, 10 * way.rate)) if grown else way.rate,
        frozen_blocks=_frozen_blocks(asked.network.network) if way.method == "full" else 0,
        batch_tokens=max(known.batch_tokens, int(data.train.steps.max(initial=1))),
        class_weights="none",
        sampling="none",
        ema_decay=0.0,
        label_smoothing=0.0,
        patience=passes,
    )


def _frozen_blocks(network: Network) -> int:
    """The lower half of a deep encoder of texts stays: what words mean is the same in new rows."""
    blocks = [encoder.blocks for encoder in network.pretrained() if isinstance(encoder, TextEncoder)]
    return min(blocks, default=0) // 2


def _tried(asked: Asked, data: TrainingData, way: _Try, method: Method | None, folder: Path) -> tuple[float, float]:
    """The score of the validation rows once a few rows were learnt, and a value that is higher where it is better."""
    if len(_ways(asked)) == 1:
        return float("nan"), 0.0
    whole = _settings(asked, way, data)
    count = len(data.train)
    if way.method == "full":
        count = min(count, max(_TRIAL_ROWS, int(_TRIAL_SHARE * count)))
    picked = np.sort(np.random.default_rng(whole.seed).permutation(len(data.train))[:count])
    some = replace(
        data,
        train=cast(EncodedRows, data.train).take(picked),
        train_targets=taken(data.train_targets, picked),
        weights=None if data.weights is None else data.weights[picked],
    )
    passes = max(1, whole.epochs // 4)
    short = replace(whole, epochs=passes, evaluations=1, score=_chosen_by(asked.request))
    trained = loop.train(_copy(asked.network), some, short, folder, Quiet(), method)
    return trained.history[-1]["score"], trained.best


def _chosen_by(request: Request) -> str:
    """The metric that rates are chosen by: of few rows a log loss says more than how many of them are right."""
    return request.output.tie_break or request.settings.score


def _copy(network: FittedNetwork) -> Network:
    weights = {name: value.clone() for name, value in network.network.state_dict().items()}
    return fitted.built(network.architecture, network.inputs, network.output, weights).network


def _scored(asked: Asked, data: TrainingData) -> float:
    """The score of the validation rows before anything is learnt."""
    rows, budget = cast(EncodedRows, data.valid), asked.request.settings.batch_tokens * 2
    outputs: Outputs = loop.predict(asked.network.network, rows, budget, devices.device())
    asked.network.network.to(torch.device("cpu"))
    return score(_chosen_by(asked.request), data.output, data.valid_targets, outputs, data.valid_weights)[0]


def _chosen(request: Request, best: _Try, settings: Settings, reason: str) -> list[Automatic]:
    """The automatic choices, those of training as they were made here."""
    kept = [entry for entry in request.automatic if not entry.key.startswith("train.")]
    weights = Automatic(key="train.method", value=best.method, reason="the bundle's own network goes on learning")
    rate = Automatic(key="train.learning_rate", value=best.rate, reason=f"on the validation rows: {reason}")
    epochs = Automatic(key="train.epochs", value=settings.epochs, reason="passes over new and replayed rows")
    return [*kept, weights, rate, epochs]
