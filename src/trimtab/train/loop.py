"""The training loop: length-bucketed batches, checkpoints that survive a kill, the best weights kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, distributed

from trimtab.columns import EncodedRows, Outputs, Targets, dense
from trimtab.errors import problem
from trimtab.nets.batch import LossOptions
from trimtab.nets.network import Network
from trimtab.nets.states import Answers
from trimtab.progress import Progress, Quiet
from trimtab.spec import Choice
from trimtab.train import autotune, checkpoint, devices, execution, frozen, methods, sharded
from trimtab.train.averaging import average
from trimtab.train.batches import Forward, computed
from trimtab.train.busy import BusyWatch, waits_asleep
from trimtab.train.checkpoint import Position
from trimtab.train.devices import Devices
from trimtab.train.dropout import make_cheap
from trimtab.train.method import Method, Run, TrainingData
from trimtab.train.optimizer import use_sparse_gradients
from trimtab.train.score import score
from trimtab.train.settings import Settings
from trimtab.train.step import step

VECTORS_AT_ONCE = 4  # times the steps of a batch: what is only read takes less memory
EVALUATED_AT_ONCE = 2
_LOSS_SHARE = 0.05  # of the newest step in the loss that is told
_TELL_SECONDS = 0.2


@dataclass(frozen=True)
class TrainingResult:
    """What training was like: one entry of `history` per evaluation, with epoch, step, seconds, loss, score."""

    history: list[dict[str, float]]
    best: float
    steps: int
    rows: int  # learnt from, over all epochs
    seconds: float  # evaluations and checkpoints left out
    choices: dict[str, Choice] = field(default_factory=dict)  # by spec key: what the first steps chose
    together: dict[str, Any] = field(default_factory=dict)  # how several processes trained, and what that cost them

    @property
    def rows_per_second(self) -> float:
        """Training rows in a second."""
        return self.rows / max(self.seconds, 1e-9)


def train(
    network: Network,
    data: TrainingData,
    settings: Settings,
    folder: Path,
    progress: Progress,
    method: Method | None = None,
    together: bool = False,
    on_score: Callable[[Position], None] | None = None,
) -> TrainingResult:
    """Train `network` in place, by default from the answers of the rows, and leave it with its best weights.

    With `together`, each of the processes that have joined is to call it with the same arguments (see `sharing`); the
    first one writes. `folder` holds the checkpoints; a run that was killed goes on from there, with as many processes
    or others, and ends with the same weights as one that was not. `on_score` is told of each evaluation; what it raises
    ends the run. Raises TrimtabError when one row does not fit into memory, or when the loss is no longer a number.
    """
    found = devices.prepare(settings.precision, together)
    torch.manual_seed(settings.seed + found.rank)
    own_progress = progress if found.writes else Quiet()
    run = prepared(network, data, settings, found, folder, own_progress, method or methods.kind("supervised")())
    run = replace(run, on_score=on_score)
    position, groups = _resume(run), groups_of(run)
    tuned = autotune.choose(run, groups)
    run = autotune.computing(run, tuned.execution)
    for key, (value, why) in tuned.choices.items():
        run.progress.note(f"{key}: {value} ({why})")
    if not position.finished:
        with execution.applied(tuned.execution, run.bf16_weights):
            position = _epochs(run, position, groups)
    if run.settings.shard:
        del run  # gives room for the whole weights, which the first process alone needs
        there = sharded.restore(network, folder) if found.writes else True
    else:
        best = checkpoint.read(folder, "best")
        there = best is not None
        if best is not None:
            checkpoint.put_back(run.network, best[0])
    if not there and found.writes:
        raise problem("train", "the loss was not a number from the first evaluation on", do="lower train.learning_rate")
    return TrainingResult(
        position.history,
        position.best,
        position.step,
        position.rows,
        position.seconds,
        tuned.choices,
        position.together,
    )


@torch.no_grad()
def predict(
    network: Network, rows: EncodedRows, budget: int, device: torch.device, targets: Targets | None = None
) -> Outputs:
    """The network's own outputs in fp32 without dropout, on `device`: what an exported model is compared with.

    One whose head is told the right answers needs `targets`.
    """
    return computed(network.to(device).eval(), rows, network.output, budget, devices.alone(device), targets)


def prepared(
    network: Network,
    data: TrainingData,
    settings: Settings,
    found: Devices,
    folder: Path,
    progress: Progress,
    method: Method,
) -> Run:
    """The moving parts of a run that begins; a head that learns alone gets vectors of the rows, unless it has them."""
    network.to(found.device)
    if not settings.shard:  # else they are alike already, and copies would cost what is to be spared
        found.same(network.state_dict().values())
    forward: Forward = network
    if settings.method == "frozen":
        frozen.freeze(network)
        if data.augmentation is None and data.dropping is None and frozen.only_the_head_learns(network):
            if isinstance(data.train, EncodedRows):
                budget = settings.batch_tokens * VECTORS_AT_ONCE
                data = replace(
                    data,
                    train=frozen.vectors(network, data.train, budget, found.device, found),
                    valid=frozen.vectors(network, cast(EncodedRows, data.valid), budget, found.device, found),
                )
            forward = _head_only(network)
            settings = replace(settings, batch_tokens=max(1, settings.batch_rows // 4))
    elif settings.method == "full" and settings.frozen_blocks:
        frozen.freeze_below(network, settings.frozen_blocks)
    if found.device.type == "cpu":
        make_cheap(network)
        if settings.optimizer in ("adamw", "adam") and not settings.shard:
            use_sparse_gradients(network)
    if settings.shard and (why := _not_in_parts(method, forward is network)):
        progress.note(f"train.shard: every process holds all weights: {why}")
        settings = replace(settings, shard=False)
    if settings.shard:
        settings = replace(settings, precisions=())
        found = replace(found, precision="bf16" if found.precision == execution.BF16_WEIGHTS else found.precision)
    if settings.shard and found.processes > 1:
        network, found = sharded.shard(network, found), replace(found, sharded=True)
        forward = network
    optimizers = method.optimizers(network, settings)
    second = method.second(network)
    if second is not None:
        second.to(found.device).train()
        found.same(second.state_dict().values())
        optimizers = replace(optimizers, second=method.second_optimizer(second, settings))
    balanced = settings.class_weights == "balanced"
    weights = _balanced(dense(data.train_targets), data.output.width, found.device) if balanced else None
    options = LossOptions(settings.label_smoothing, weights)
    ema_weights = _copied(network) if settings.ema_decay else {}
    learnt = method.forward(network, forward)
    return Run(
        network, forward, learnt, method, options, optimizers, found, settings, data, folder, progress, ema_weights,
        second=second,
    )  # fmt: skip


def _not_in_parts(method: Method, whole: bool) -> str | None:
    """Why weights cannot lie in parts, which are gathered when the network as a whole is asked; None where they can."""
    if not whole:
        return "only the head learns"
    if type(method).forward is not Method.forward or type(method).second is not Method.second:
        return "this training method asks parts of the network by themselves"
    return None


def _copied(network: Network) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in checkpoint.learnt(network).items()}


def _head_only(network: Network) -> Forward:
    def forward(tensors: Mapping[str, Tensor]) -> Answers:
        answers: Answers = network.head(tensors["vectors"])
        return answers

    return forward


def _balanced(targets: np.ndarray, classes: int, device: torch.device) -> Tensor:
    """One weight per class, inverse to how often it occurs; the mean over the rows is 1.

    A class that no row has weighs 1, and the others as if it was not there.
    """
    counts = np.bincount(targets, minlength=classes)
    known = counts > 0
    weights = np.where(known, len(targets) / (known.sum() * counts.clip(min=1)), 1.0)
    return torch.tensor(weights, dtype=torch.float32, device=device)


# --------------------------------------------------------------------------------------------------------- epochs


def groups_of(run: Run) -> list[list[list[np.ndarray]]]:
    """Of each epoch the batches of each of its steps."""
    settings = run.settings
    by_class = settings.sampling == "balanced" or run.method.reads_classes
    classes = dense(run.data.train_targets) if by_class else None
    return [run.method.batches(run.data.steps, settings, epoch, classes) for epoch in range(settings.epochs)]


def _epochs(run: Run, position: Position, groups: list[list[list[np.ndarray]]]) -> Position:
    """Train from `position` to the end."""
    settings = run.settings
    total = sum(len(epoch) for epoch in groups)
    mean_rows = len(run.data.train) * settings.epochs / max(1, sum(len(group) for epoch in groups for group in epoch))
    clock, begun = _Clock(position), position.seconds
    threads = torch.get_num_threads() if run.devices.device.type == "cpu" else 1
    # Threads are changed where they would spin, unless the spec says how many there are. A process that waits for
    # others looks as if it was not given its time.
    alone = run.devices.processes == 1
    say = run.progress.note if alone else Quiet().note
    watch = BusyWatch(threads, alone and settings.threads is None and not waits_asleep(), say)
    for epoch in range(position.epoch, settings.epochs):
        position = _epoch(run, replace(position, epoch=epoch), groups[epoch], total, mean_rows, clock, watch)
        if position.finished:
            break
        position = replace(position, epoch=epoch + 1, batch=0)
        with clock.stopped():
            _save(run, position)
    position = replace(position, finished=True, together=_together(run, position.seconds - begun))
    _keep(run, "last", None, position)  # nothing will go on from here
    return position


def _together(run: Run, seconds: float) -> dict[str, Any]:
    """How several processes have trained since they began, and the shares of their time that this took; plain JSON."""
    devices, exchanges = run.devices, run.devices.exchanges
    if devices.processes == 1:
        return {}
    each = devices.gathered((exchanges.waited, exchanges.taken, exchanges.apart))
    waited, taken = (sum(one[place] for one in each) / len(each) / max(seconds, 1e-9) for place in (0, 1))
    weights = "in parts (FSDP2)" if devices.sharded else "whole in each"
    found: dict[str, Any] = {"processes": devices.processes, "exchange": distributed.get_backend(), "weights": weights}
    found["synchronised"] = f"every {run.settings.synchronise} steps" if run.averages else "every step"
    if devices.device.type == "cpu" and not devices.sharded:  # else it goes on while others compute
        found |= {"waiting_share": round(waited, 4), "exchange_share": round(taken, 4)}
    if run.averages:
        found["weights_apart"] = round(float(np.mean([apart for one in each for apart in one[2]])), 6)
    run.progress.note(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in found.items()))
    return found


def _epoch(
    run: Run,
    position: Position,
    groups: list[list[np.ndarray]],
    total: int,
    mean_rows: float,
    clock: _Clock,
    watch: BusyWatch,
) -> Position:
    """The rest of one epoch: steps, evaluations, and checkpoints when they are due."""
    settings = run.settings
    scored = not run.method.scored_last or position.epoch + 1 == settings.epochs
    parts = range(1, settings.evaluations + 1) if scored else ()
    evaluate_after = {round(len(groups) * part / settings.evaluations) for part in parts} - {0}
    run.network.train()
    resumed = position.batch > 0 and not math.isnan(position.loss)
    smooth = torch.tensor(position.loss, device=run.devices.device) if resumed else None
    for number in range(position.batch, len(groups)):
        rows = sum(len(batch) for batch in groups[number])
        with watch.step(rows):
            position, loss = step(run, groups[number], position, total, mean_rows)
        evaluate, last = number + 1 in evaluate_after, number + 1 == len(groups)
        save, meet = False, not run.averages or evaluate or last or position.step % settings.synchronise == 0
        if meet and run.averages:
            average(run)
        if meet:
            loss, save = run.devices.told(loss, clock.due(settings.checkpoint_seconds))
        else:
            loss = loss * run.devices.processes  # its own share is told for all
        loss = loss / rows
        smooth = loss if smooth is None else torch.lerp(smooth, loss, _LOSS_SHARE)
        clock.rows += rows
        position = replace(position, batch=number + 1)
        if evaluate or save or clock.tell():  # only then is the device waited for
            position = clock.read(replace(position, loss=float(smooth)))
            run.progress.tick(position.step, total, _figures(position, settings))
        with clock.stopped():
            if evaluate:
                position = _evaluate(run, position)
            if save:
                _save(run, position)
        if position.finished:
            break
    return position if groups else _evaluate(run, position)  # of a method without steps


class _Clock:
    """Rows and seconds of the whole run, evaluations and checkpoints left out, and whether something is due."""

    def __init__(self, position: Position) -> None:
        self.rows, self.before = position.rows, position.seconds
        self.start = self.saved = time.perf_counter()
        self.told = float("-inf")

    def read(self, position: Position) -> Position:
        """The position with the rows and the seconds so far."""
        return replace(position, rows=self.rows, seconds=self.before + time.perf_counter() - self.start)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Time in here is not counted."""
        before = time.perf_counter()
        yield
        self.start += time.perf_counter() - before

    def due(self, seconds: float) -> bool:
        """Whether `seconds` have passed since the last checkpoint."""
        now = time.perf_counter()
        if now - self.saved < seconds:
            return False
        self.saved = now
        return True

    def tell(self) -> bool:
        """Whether the user should hear of the progress again."""
        now = time.perf_counter()
        if now - self.told < _TELL_SECONDS:
            return False
        self.told = now
        return True


def _figures(position: Position, settings: Settings) -> dict[str, float | str]:
    figures: dict[str, float | str] = {
        "epoch": f"{position.epoch + 1}/{settings.epochs}",
        "loss": position.loss,
        "rows/s": position.rows / max(position.seconds, 1e-9),
    }
    if position.history:
        figures[settings.score] = position.history[-1]["score"]
    return figures


# ------------------------------------------------------------------------------------------------------ evaluation


def _evaluate(run: Run, position: Position) -> Position:
    """Score the validation rows; the best weights so far are written at once."""
    settings, data = run.settings, run.data
    with _averaged(run):
        fitted = run.method.before_scoring(run)
        position = position if fitted is None else replace(position, loss=fitted)
        run.devices.same(run.network.buffers())  # means of batch norms are those of each process's own rows
        run.network.eval()
        with torch.no_grad():
            budget = settings.batch_tokens * EVALUATED_AT_ONCE
            told = data.valid_targets if run.taught else None
            outputs = computed(run.forward, data.valid, data.output, budget, run.devices, told)
        run.network.train()
        value, ranked = score(settings.score, data.output, data.valid_targets, outputs, data.valid_weights)
        entry = {
            "epoch": position.epoch + 1.0,
            "step": float(position.step),
            "seconds": round(position.seconds, 3),
            "loss": position.loss,
            "score": value,
        }
        better = ranked > (-math.inf if run.method.keeps_last else position.best)
        wait_count = 0 if better else position.wait_count + 1
        position = replace(
            position,
            history=[*position.history, entry],
            best=ranked if better else position.best,
            wait_count=wait_count,
            finished=wait_count >= settings.patience,
        )
        if better:
            _keep(run, "best", None, position)
    if run.on_score:
        run.on_score(position)
    return position


class _averaged:
    """Inside, the network holds the running average of its weights, if one is kept."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        if self.run.ema_weights:
            self.own = _copied(self.run.network)
            checkpoint.put_back(self.run.network, self.run.ema_weights)

    def __exit__(self, *_: object) -> None:
        if self.own:
            checkpoint.put_back(self.run.network, self.own)


# ----------------------------------------------------------------------------------------------------- checkpoints


def _keep(run: Run, name: str, states: Any, position: Position) -> None:
    """Write a checkpoint: the first process, or of weights in parts each its own."""
    if run.settings.shard:
        sharded.write(run, name, position, states is not None)
    elif run.devices.writes:
        checkpoint.write(run.folder, name, checkpoint.learnt(run.network), states, position)
    run.devices.wait()  # in here, where no clock runs


def _save(run: Run, position: Position) -> None:
    on_card = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = {
        "optimizers": [] if run.settings.shard else [optimizer.state_dict() for optimizer in run.optimizers.all],
        "random": run.devices.gathered(torch.get_rng_state()),  # of each process
        "random_cuda": run.devices.gathered(on_card),
        "scaler": run.devices.scaler.state_dict(),
        "ema_weights": run.ema_weights,
        "second": {} if run.second is None else run.second.state_dict(),
    }
    _keep(run, "last", states, position)


def _resume(run: Run) -> Position:
    """Go on from the last checkpoint, if there is one."""
    if run.settings.shard:
        found = sharded.read(run)
        if found and not found.finished:
            run.progress.note(f"going on from epoch {found.epoch + 1}, step {found.step}")
        return found or Position()
    saved = checkpoint.read(run.folder, "last")
    if saved is None or (saved[2].best > -math.inf and checkpoint.read(run.folder, "best") is None):
        return Position()  # nothing to go on from, or to end with
    weights, states, position = saved
    if position.finished:
        return position
    checkpoint.put_back(run.network, weights)
    if run.second is not None:
        run.second.load_state_dict(states["second"])
    for optimizer, state in zip(run.optimizers.all, states["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    if states["scaler"]:  # of fp16 only
        run.devices.scaler.load_state_dict(states["scaler"])
    own = run.devices.rank % len(states["random"])  # as many processes as before, or others
    torch.set_rng_state(states["random"][own])
    if states["random_cuda"][own] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["random_cuda"][own])
    for key, value in run.network.with_present_names(states["ema_weights"]).items():
        run.ema_weights[key].copy_(value)
    run.progress.note(f"going on from epoch {position.epoch + 1}, step {position.step}")
    return position
