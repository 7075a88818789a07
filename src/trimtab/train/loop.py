"""The training loop: length-bucketed batches, checkpoints that survive a kill, the best weights kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from trimtab import registry
from trimtab.columns import EncodedRows, length_batches
from trimtab.errors import problem
from trimtab.nets.network import Network
from trimtab.progress import Progress
from trimtab.train import checkpoint, frozen
from trimtab.train.batches import epoch_batches, halve
from trimtab.train.checkpoint import Position
from trimtab.train.optimizer import Optimizers, clip, make, set_rates, use_sparse_gradients
from trimtab.train.score import rank, score
from trimtab.train.settings import Settings

Rows = EncodedRows | frozen.Vectors
Forward = Callable[[Mapping[str, Tensor]], Tensor]
_MIXED = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class Lesson:
    """Encoded rows with their targets, (rows,): those that teach, and those that choose the best weights."""

    train: Rows
    train_targets: np.ndarray
    valid: Rows
    valid_targets: np.ndarray


@dataclass(frozen=True)
class Trained:
    """What training was like: one entry of `history` per evaluation, with epoch, step, loss, score."""

    history: list[dict[str, float]]
    best: float
    steps: int
    rows_per_second: float
    seconds: float


@dataclass(frozen=True)
class _Run:
    """The moving parts of one run; each of them is changed in place by the steps."""

    network: Network
    forward: Forward
    loss: Callable[..., Tensor]
    weights: Tensor | None
    optimizers: Optimizers
    accelerator: Accelerator
    settings: Settings
    lesson: Lesson
    folder: Path
    progress: Progress
    average: dict[str, Tensor]


def device() -> torch.device:
    """The device that training will run on."""
    return cast(torch.device, Accelerator(cpu=not torch.cuda.is_available()).device)


def train(network: Network, head: str, lesson: Lesson, settings: Settings, folder: Path, progress: Progress) -> Trained:
    """Train `network` in place and leave it with its best weights.

    `folder` holds the checkpoints; a run that was killed goes on from there and ends with the same weights as one that
    was not. Raises TrimtabError when one row does not fit into memory, or when the loss is no longer a number.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=_MIXED[settings.precision], cpu=not torch.cuda.is_available())
    torch.manual_seed(settings.seed)
    run = _prepare(network, head, lesson, settings, accelerator, folder, progress)
    position = _resume(run)
    start, rows = time.perf_counter(), 0
    if not position.finished:
        position, rows = _epochs(run, position)
    best = checkpoint.read(folder, "best")
    if best is None:
        raise problem("train", "the loss was not a number from the first evaluation on", do="lower train.learning_rate")
    run.network.load_state_dict(best[0])
    seconds = time.perf_counter() - start
    return Trained(position.history, position.best, position.step, rows / max(seconds, 1e-9), seconds)


def predict(network: Network, rows: EncodedRows, budget: int, device: torch.device) -> np.ndarray:
    """The network's own outputs, (rows, width), in fp32 without dropout: what an exported model is compared with."""
    network.eval()
    return _outputs(network, rows, budget, device)


def _prepare(
    network: Network,
    head: str,
    lesson: Lesson,
    settings: Settings,
    accelerator: Accelerator,
    folder: Path,
    progress: Progress,
) -> _Run:
    network.to(accelerator.device)
    forward: Forward = network
    if settings.method == "frozen":
        frozen.freeze(network)
        if frozen.only_the_head_learns(network):
            budget = settings.batch_tokens * 4
            lesson = replace(
                lesson,
                train=frozen.vectors(network, cast(EncodedRows, lesson.train), budget, accelerator.device),
                valid=frozen.vectors(network, cast(EncodedRows, lesson.valid), budget, accelerator.device),
            )
            forward = _head_only(network)
            settings = replace(settings, batch_tokens=max(1, settings.batch_rows // 4))
    if accelerator.device.type == "cpu" and settings.optimizer in ("adamw", "adam"):
        use_sparse_gradients(network)
    optimizers = make(network, settings)
    optimizers = Optimizers(
        accelerator.prepare_optimizer(optimizers.dense),
        accelerator.prepare_optimizer(optimizers.sparse) if optimizers.sparse else None,
    )
    loss = registry.load("trimtab.nets.heads", head, "loss", "train")
    weights = _balanced(lesson.train_targets, accelerator.device) if settings.class_weights == "balanced" else None
    average = {key: value.clone() for key, value in network.state_dict().items()} if settings.average else {}
    return _Run(network, forward, loss, weights, optimizers, accelerator, settings, lesson, folder, progress, average)


def _head_only(network: Network) -> Forward:
    def forward(tensors: Mapping[str, Tensor]) -> Tensor:
        outputs: Tensor = network.head(tensors["vectors"])
        return outputs

    return forward


def _balanced(targets: np.ndarray, device: torch.device) -> Tensor:
    """One weight per class, inverse to how often it occurs; the mean over the rows is 1."""
    counts = np.bincount(targets).clip(min=1)
    return torch.tensor(len(targets) / (len(counts) * counts), dtype=torch.float32, device=device)


# --------------------------------------------------------------------------------------------------------- epochs


def _epochs(run: _Run, position: Position) -> tuple[Position, int]:
    """Train from `position` to the end; returns the last position and the rows that were learnt from."""
    settings, steps = run.settings, run.lesson.train.steps
    groups = [_groups(steps, settings, epoch) for epoch in range(settings.epochs)]
    total = sum(len(epoch) for epoch in groups)
    mean_rows = len(steps) * settings.epochs / max(1, sum(len(group) for epoch in groups for group in epoch))
    clock, rows = _Clock(), 0
    for epoch in range(position.epoch, settings.epochs):
        evaluate_after = _evaluation_points(len(groups[epoch]), settings.evaluations)
        run.network.train()
        for number, group in enumerate(groups[epoch]):
            if number < position.batch:
                continue
            position = _step(run, group, position, total, mean_rows)
            rows += sum(len(batch) for batch in group)
            position = replace(position, epoch=epoch, batch=number + 1, step=position.step + 1)
            run.progress.tick(position.step, total, _figures(position, settings, clock.rate(rows)))
            if number + 1 in evaluate_after:
                position = _evaluate(run, position)
                if position.finished:
                    break
            if clock.due(settings.checkpoint_seconds):
                _save(run, position)
        if position.finished:
            break
        position = replace(position, epoch=epoch + 1, batch=0)
        _save(run, position)
    position = replace(position, finished=True)
    _save(run, position)
    return position, rows


class _Clock:
    """Rows per second since the start, and whether the next checkpoint is due."""

    def __init__(self) -> None:
        self.start = self.last = time.perf_counter()

    def rate(self, rows: int) -> float:
        return rows / max(time.perf_counter() - self.start, 1e-9)

    def due(self, seconds: float) -> bool:
        now = time.perf_counter()
        if now - self.last < seconds:
            return False
        self.last = now
        return True


def _groups(steps: np.ndarray, settings: Settings, epoch: int) -> list[list[np.ndarray]]:
    """The batches of an epoch, `accumulate` of them to each optimizer step."""
    batches = epoch_batches(steps, settings.batch_tokens, settings.batch_rows, settings.seed, epoch)
    return [batches[i : i + settings.accumulate] for i in range(0, len(batches), settings.accumulate)]


def _evaluation_points(groups: int, evaluations: int) -> set[int]:
    return {round(groups * (part + 1) / evaluations) for part in range(evaluations)} - {0}


def _figures(position: Position, settings: Settings, rate: float) -> dict[str, float | str]:
    figures: dict[str, float | str] = {
        "epoch": f"{position.epoch + 1}/{settings.epochs}",
        "loss": position.loss,
        "rows/s": rate,
    }
    if position.history:
        figures[settings.score] = position.history[-1]["score"]
    return figures


# ----------------------------------------------------------------------------------------------------------- steps


def _step(run: _Run, group: list[np.ndarray], position: Position, total: int, mean_rows: float) -> Position:
    """One optimizer step; where memory is short, the batches are halved and the step begins again."""
    while True:
        try:
            loss = _gradients(run, group, position.halvings, mean_rows)
            break
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            position = _halve(run, group, position)
    for optimizer in run.optimizers.all:
        run.accelerator.unscale_gradients(optimizer)
    clip(run.network, run.settings.clip_norm)
    set_rates(run.optimizers, position.step, total, run.settings)
    for optimizer in run.optimizers.all:
        optimizer.step()
        optimizer.zero_grad()
    if run.average:
        _update_average(run)
    smooth = loss if np.isnan(position.loss) else 0.95 * position.loss + 0.05 * loss
    return replace(position, loss=smooth)


def _gradients(run: _Run, group: list[np.ndarray], halvings: int, mean_rows: float) -> float:
    """Add up the gradients of a group; every row weighs the same, however its batch was cut. Returns the mean loss."""
    total = 0.0
    for batch in group:
        for part in _parts(batch, halvings):
            tensors = _tensors(run.lesson.train, part, run.accelerator.device)
            targets = torch.from_numpy(run.lesson.train_targets[part]).to(run.accelerator.device)
            with run.accelerator.autocast():
                outputs = run.forward(tensors)
            losses = run.loss(outputs.float(), targets, run.weights, run.settings.label_smoothing)
            run.accelerator.backward(losses.sum() / (mean_rows * len(group)))
            total += float(losses.detach().sum())
    return total / sum(len(batch) for batch in group)


def _parts(batch: np.ndarray, halvings: int) -> list[np.ndarray]:
    parts = [batch]
    for _ in range(halvings):
        parts = [half for part in parts for half in halve(part) if len(half)]
    return parts


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _halve(run: _Run, group: list[np.ndarray], position: Position) -> Position:
    if 2**position.halvings >= max(len(batch) for batch in group):
        raise problem("train", "a single row does not fit into memory", do="set max_tokens of the text input lower")
    for optimizer in run.optimizers.all:
        optimizer.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    run.progress.note(f"out of memory: each batch is now worked on in {2 ** (position.halvings + 1)} parts")
    return replace(position, halvings=position.halvings + 1)


def _tensors(rows: Rows, picked: np.ndarray, device: torch.device) -> dict[str, Tensor]:
    return {key: torch.from_numpy(value).to(device, non_blocking=True) for key, value in rows.batch(picked).items()}


@torch.no_grad()
def _update_average(run: _Run) -> None:
    for key, value in run.network.state_dict().items():
        if value.is_floating_point():
            run.average[key].lerp_(value, 1 - run.settings.average)


# ------------------------------------------------------------------------------------------------------ evaluation


def _evaluate(run: _Run, position: Position) -> Position:
    """Score the validation rows; the best weights so far are written at once."""
    settings, lesson = run.settings, run.lesson
    with _averaged(run):
        run.network.eval()
        outputs = _outputs(run.forward, lesson.valid, settings.batch_tokens * 2, run.accelerator.device)
        run.network.train()
        value = score(settings.score, lesson.valid_targets, outputs) if np.isfinite(outputs).all() else float("nan")
        ranked = rank(settings.score, value, lesson.valid_targets, outputs) if np.isfinite(value) else float("-inf")
        entry = {"epoch": position.epoch + 1.0, "step": float(position.step), "loss": position.loss, "score": value}
        better = ranked > position.best
        stale = 0 if better else position.stale + 1
        position = replace(
            position,
            history=[*position.history, entry],
            best=ranked if better else position.best,
            stale=stale,
            finished=stale >= settings.patience,
        )
        if better:
            checkpoint.write(run.folder, "best", run.network.state_dict(), None, position)
    return position


class _averaged:
    """Inside, the network holds the running average of its weights, if one is kept."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        if self.run.average:
            self.own = {key: value.clone() for key, value in self.run.network.state_dict().items()}
            self.run.network.load_state_dict(self.run.average)

    def __exit__(self, *_: object) -> None:
        if self.own:
            self.run.network.load_state_dict(self.own)


@torch.no_grad()
def _outputs(forward: Forward, rows: Rows, budget: int, device: torch.device) -> np.ndarray:
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for picked in length_batches(rows.steps, budget):
        parts.append((picked, forward(_tensors(rows, picked, device)).float().cpu().numpy()))
    result = np.zeros((len(rows), parts[0][1].shape[1]), dtype=np.float32)
    for picked, values in parts:
        result[picked] = values
    return result


# ----------------------------------------------------------------------------------------------------- checkpoints


def _save(run: _Run, position: Position) -> None:
    states = {
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers.all],
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "average": run.average,
    }
    checkpoint.write(run.folder, "last", run.network.state_dict(), states, position)


def _resume(run: _Run) -> Position:
    """Go on from the last checkpoint, if there is one."""
    saved = checkpoint.read(run.folder, "last")
    if saved is None:
        return Position()
    weights, states, position = saved
    run.network.load_state_dict(weights)
    for optimizer, state in zip(run.optimizers.all, states["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    torch.set_rng_state(states["random"])
    if states["random_cuda"]:
        torch.cuda.set_rng_state_all(states["random_cuda"])
    run.average.update(states["average"])
    if not position.finished:
        run.progress.note(f"going on from epoch {position.epoch + 1}, step {position.step}")
    return position
