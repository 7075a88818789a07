"""The first rows of a run choose how its steps are computed: each way is timed, the quickest that agrees is taken.

What was taken is kept in the run's folder, for a run that goes on, and on the machine, so that a second launch computes
alike to the last bit: see `choose`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from trimtab import files
from trimtab.nets.batch import told
from trimtab.spec import Choice
from trimtab.train.batches import targets_of, tensors_of
from trimtab.train.checkpoint import Position
from trimtab.train.execution import BF16_WEIGHTS, Bf16Weights, Execution, applied, usual_attention
from trimtab.train.method import Run

_LEAST_STEPS = 300  # of a whole run; of fewer, the measuring would be more than a tenth
_ROUNDS = 2  # timed steps of each way, after one that warms up
_FASTER = 1.1  # how much quicker a way has to be than one that stands before it
_FEWER_THREADS_FASTER = 1.15
_ALONE = 0.75  # of a processor for the thread that computes a step: less where others use the machine, too
_AGREES = 1e-3  # how far the mean loss may be from that in fp32, and where products are rounded
_AGREES_ROUNDED = 0.05
_FILE = "execution.json"


@dataclass(frozen=True)
class Tuned:
    """How steps are computed, and by spec key the choices with their reasons: none where nothing was measured."""

    execution: Execution
    choices: dict[str, Choice]


def choose(run: Run, epochs: Sequence[Sequence[Sequence[np.ndarray]]]) -> Tuned:
    """What this run took before it was stopped, what such a run on this machine took, or what is quickest now.

    `epochs` holds the batches of each step of each epoch. Nothing is measured of a short run or on a GPU; of several
    processes the first one measures, while the others wait. The network, its gradients and the generator of random
    numbers are left as they were.
    """
    usual, found = _usual(run), None
    if run.devices.writes:
        kept = run.folder / _FILE
        found = _read(kept)
        may = run.devices.device.type == "cpu" and not run.devices.sharded  # whose steps need all processes
        if found is None and may and sum(len(groups) for groups in epochs) >= _LEAST_STEPS:
            found = _remembered(run, epochs[0], usual)
        found = found or Tuned(usual, {})
        run.folder.mkdir(parents=True, exist_ok=True)
        files.write(kept, _written(found))
    found = run.devices.agreed(found) or Tuned(usual, {})
    if run.devices.processes == 1:
        return found
    return replace(found, execution=replace(found.execution, threads=usual.threads))  # cores are shared


def computing(run: Run, execution: Execution) -> Run:
    """The same run, its steps computed so."""
    weights = Bf16Weights(run.network) if execution.precision == BF16_WEIGHTS else None
    return replace(run, devices=replace(run.devices, precision=execution.precision), bf16_weights=weights)


def _usual(run: Run) -> Execution:
    """What is taken where nothing is measured."""
    settings = run.settings
    attention = usual_attention(run.devices) if settings.attention == "auto" else settings.attention
    threads = settings.threads or max(1, torch.get_num_threads() // run.devices.here)
    return Execution(attention, run.devices.precision, threads)


# ------------------------------------------------------------------------------------------------------- measuring


def measured(run: Run, group: Sequence[np.ndarray], usual: Execution) -> Tuned:
    """The quickest of all ways that the spec leaves open, by steps over a group of batches that change nothing."""
    with _undisturbed(run):
        try:
            attends = _attends(run, group, usual)
        except RuntimeError:  # a lack of memory: the steps themselves see to it
            return Tuned(usual, {})
        ways = _ways(run, usual, attends)
        rates, alone = _rates(run, group, ways)
        best = _quickest(ways, rates, _FASTER)
        choices = _told(best, rates)
        if run.settings.threads is None and run.devices.processes == 1 and alone >= _ALONE:
            best, told = _threads(run, group, best)
            choices |= told
    return Tuned(best, choices)


def _ways(run: Run, usual: Execution, attends: bool) -> list[Execution]:
    """What is open, in the order in which what differs little is taken: as it is usual, then by name."""
    precisions = run.settings.precisions or (usual.precision,)
    attentions = ("plain", "fused") if attends and run.settings.attention == "auto" else (usual.attention,)
    every = [replace(usual, attention=a, precision=p) for p in precisions for a in attentions]
    return sorted(every, key=lambda way: way != usual)


def _threads(run: Run, group: Sequence[np.ndarray], best: Execution) -> tuple[Execution, dict[str, Choice]]:
    """Half of the threads, as long as that is quicker: the operations of small networks are not worth sharing."""
    seen: dict[Execution, float] = {}
    while best.threads > 1:
        ways = [best, replace(best, threads=best.threads // 2)]
        rates, _ = _rates(run, group, ways)
        seen |= rates
        quickest = _quickest(ways, rates, _FEWER_THREADS_FASTER)
        if quickest == best:
            break
        best = quickest
    said = ", ".join(f"{way.threads} {rate:,.0f}" for way, rate in sorted(seen.items(), key=lambda one: -one[1]))
    return best, {"train.threads": Choice(best.threads, f"rows/s of the first steps: {said}")} if seen else {}


def _rates(run: Run, group: Sequence[np.ndarray], ways: Sequence[Execution]) -> tuple[dict[Execution, float], float]:
    """Rows per second of each way that agrees with the first in fp32, and the share of a processor that they got."""
    trials = {way: computing(run, way) for way in ways}
    losses = {way: _step(trial, way, group)[0] for way, trial in trials.items()}
    sure = next((loss for way, loss in losses.items() if way.precision == "fp32"), next(iter(losses.values())))
    most = {way: (_AGREES if way.precision == "fp32" else _AGREES_ROUNDED) * max(1.0, abs(sure)) for way in ways}
    right = [way for way, loss in losses.items() if abs(loss - sure) <= most[way]] or list(ways[:1])
    taken: dict[Execution, list[tuple[float, float]]] = {way: [] for way in right}
    for _ in range(_ROUNDS):  # in turn: a slow moment of the machine hits all of them
        for way in right:
            taken[way].append(_step(trials[way], way, group)[1:])
    rows = sum(len(batch) for batch in group)
    alone = max(cpu / wall for of in taken.values() for wall, cpu in of)
    return {way: rows / min(wall for wall, _ in of) for way, of in taken.items()}, alone


def _step(run: Run, way: Execution, group: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """The mean loss of a step whose gradients are thrown away, and its seconds, and those with a processor."""
    rows = sum(len(batch) for batch in group)
    with applied(way, run.bf16_weights), torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.settings.seed)
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            total = run.method.gradients(run, list(group), Position(), rows / len(group))
            if run.bf16_weights:
                run.bf16_weights.gather()
                run.bf16_weights.refresh()
            loss = float(total) / rows
        except RuntimeError:  # a lack of memory, or of a kernel: this way is left out
            loss = math.nan
        taken = time.perf_counter() - wall, time.thread_time() - cpu
    for optimizer in run.optimizers.all:
        optimizer.zero_grad()
    return loss, *taken


def _quickest(ways: Sequence[Execution], rates: Mapping[Execution, float], faster: float) -> Execution:
    """The quickest; what stands before it and is nearly as quick is taken in its place, so that noise decides less."""
    known = [way for way in ways if way in rates]
    most = max(rates[way] for way in known)
    return next(way for way in known if rates[way] * faster >= most)


def _told(best: Execution, rates: Mapping[Execution, float]) -> dict[str, Choice]:
    """The choices between several, each with the rows per second of all."""
    found: dict[str, Choice] = {}
    for key in ("precision", "attention"):
        of = {str(getattr(way, key)): 0.0 for way in rates}
        for way, rate in rates.items():
            of[getattr(way, key)] = max(of[getattr(way, key)], rate)
        if len(of) > 1:
            said = ", ".join(f"{name} {rate:,.0f}" for name, rate in sorted(of.items(), key=lambda one: -one[1]))
            found[f"train.{key}"] = Choice(getattr(best, key), f"rows/s of the first steps: {said}")
    return found


@contextmanager
def _undisturbed(run: Run) -> Iterator[None]:
    """Afterwards the network holds what it held: batch norms count every batch that they see."""
    buffers = chain(run.network.buffers(), () if run.second is None else run.second.buffers())
    held = [(buffer, buffer.clone()) for buffer in buffers]
    run.network.train()
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in held:
                buffer.copy_(value)


class _Attention(TorchFunctionMode):
    """Notices whether attention is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: bool = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or func is functional.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def _attends(run: Run, group: Sequence[np.ndarray], usual: Execution) -> bool:
    first = group[0][:1]
    tensors = tensors_of(run.data.train, first, run.devices.device)
    if run.taught:
        tensors |= told(targets_of(run.data.train_targets, first, run.devices.device))
    with _Attention() as watch, torch.random.fork_rng(devices=[]), applied(usual, None):
        run.learnt(tensors)
    return bool(watch.seen)


# --------------------------------------------------------------------------------------------------------- memory


def _key(run: Run) -> str:
    """Changes with everything that decides which way is quickest."""
    shapes = [(name, list(one.shape), one.requires_grad) for name, one in run.network.named_parameters()]
    settings = run.settings
    open_ways = [settings.precision, settings.precisions, settings.attention, settings.threads]
    size = [settings.batch_tokens, settings.batch_rows, settings.accumulate, float(np.mean(run.data.steps))]
    size += [run.devices.processes] if run.devices.processes > 1 else []
    machine = [torch.__version__, torch.backends.cpu.get_cpu_capability(), platform.node(), torch.get_num_threads()]
    said = json.dumps([shapes, open_ways, size, machine, type(run.method).__name__])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _remembered(run: Run, groups: Sequence[Sequence[np.ndarray]], usual: Execution) -> Tuned:
    """What such a run on this machine took; where it is the first one, what is measured now."""
    folder = files.cache()
    path = folder / "executions" / f"{_key(run)}.json" if folder else None
    found = _read(path) if path else None
    if found:
        return found
    first = sorted(groups[:9], key=lambda group: sum(len(batch) for batch in group))
    found = measured(run, first[len(first) // 2], usual)  # with the median number of rows
    return _shared(path, found) if path else found


def _written(tuned: Tuned) -> str:
    return json.dumps({"execution": asdict(tuned.execution), "choices": tuned.choices}, indent=1)


def _read(path: Path) -> Tuned | None:
    said = files.read_json(path)
    try:
        return (
            Tuned(Execution(**said["execution"]), {key: Choice(*choice) for key, choice in said["choices"].items()})
            if said
            else None
        )
    except (KeyError, TypeError, AttributeError):
        return None  # what cannot be read counts as not there


def _shared(path: Path, found: Tuned) -> Tuned:
    """What was found, or what another launch at the same time found first."""
    staged = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(_written(found), encoding="utf-8")
        os.link(staged, path)
    except FileExistsError:
        found = _read(path) or found
    except OSError:
        pass  # a cache that cannot be written to: nothing is remembered
    with suppress(OSError):
        staged.unlink(missing_ok=True)
    return found
