"""What a launch will take, by a rehearsal: all that it does is done a little, for some seconds on this machine.

Rows are read and encoded as a launch does it. Then some steps are computed on real batches, with the settings and in
the way that the launch would choose; the network that comes out is exported; and the checks are carried out on it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from trimtab import files, runtime
from trimtab.audit import memory as resident
from trimtab.columns import EncodedRows
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.network import Network
from trimtab.pipeline import run_folder, zero_labels
from trimtab.pipeline.reading import read
from trimtab.pipeline.release import context_of, write_baseline
from trimtab.pipeline.training import build, data_of
from trimtab.plan import accelerators, auditing, memory, steps
from trimtab.plan.auditing import Looked, Rehearsal
from trimtab.plan.estimate import WATTS_PER_CORE, Accelerated, Estimate, Money, Wishes
from trimtab.plan.steps import Steps
from trimtab.progress import Progress, Quiet
from trimtab.report import plots
from trimtab.request import Request, check, resume, thinned
from trimtab.search import candidates
from trimtab.search.assembly import Candidate, assemble
from trimtab.search.compression import affordable_as_it_is
from trimtab.spec import Compress, Spec
from trimtab.train import autotune, devices, execution, frozen, loop, methods
from trimtab.train.frozen import Vectors
from trimtab.train.method import TrainingData

FILE = "plan.json"  # of a run's folder
_EXPORTED = 200  # rows of training, and of validation, that the export is rehearsed with
_FIRST = 2000  # training rows that the checks are rehearsed with at first; of more, then as many as the seconds allow
_TESTED = 300  # test rows at least: checks that look at 200 or so look at no more of more
_AUDITING = 12.0  # seconds
_SEARCHED = 10.0  # minutes of a search where the spec says nothing of it
_GROWS = ("answers of the network", "agreement", "answers, reference")  # of the export: with the validation rows


def plan(
    spec: str | Path | Mapping[str, Any] | Spec,
    overrides: Sequence[str] = (),
    runs: str | Path = "runs",
    progress: Progress | None = None,
    wishes: Wishes | None = None,
) -> Estimate:
    """What the launch of a spec will take, by half a minute of it; kept in its run's folder, for its card.

    Raises TrimtabError as `launch` does when the request is wrong, and where the memory cannot be enough.
    """
    progress, wishes = progress or Quiet(), wishes or Wishes()
    started, processor = time.perf_counter(), time.process_time()
    there = accelerators.found(wishes.accelerator) if wishes.accelerator else None
    request_spec, folder = read(spec, overrides)
    home = Path(runs) / request_spec.run_name
    with run_folder.held(home, Path(spec) if isinstance(spec, (str, Path)) else None, progress):
        request_spec = zero_labels.started(request_spec, folder, home, progress)
        request = check(request_spec, folder, home, progress)
        data_seconds = time.perf_counter() - started
        memory.refuse_weights(request)
        (home / "work").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="plan-", dir=home / "work") as place:
            found = _rehearsed(request, data_seconds, Path(place), progress)
        share = (time.process_time() - processor) / (time.perf_counter() - started)
        found = _priced(found.model_copy(update={"processor": share * found.total}), request_spec, wishes)
        if there:
            price = (wishes.accelerator_price, _currency(request_spec)) if wishes.accelerator_price else None
            found = found.model_copy(update={"accelerated": _elsewhere(found, there, price)})
        said = {"key": resume.key(request), "estimate": found.model_dump(mode="json")}
        files.write(home / FILE, json.dumps(said, indent=1) + "\n")
    return found


def kept(home: Path, request: Request) -> Estimate | None:
    """The estimate that was made of this very request, if there is one."""
    said = files.read_json(home / FILE)
    if said is None or said.get("key") != resume.key(request):
        return None
    try:
        return Estimate.model_validate(said["estimate"])
    except ValidationError:  # of another version
        return None


def _currency(spec: Spec) -> str:
    return spec.cost.currency if spec.cost else "USD"


def _priced(found: Estimate, spec: Spec, wishes: Wishes) -> Estimate:
    hourly = spec.cost.machine_per_hour if spec.cost and wishes.price is None else wishes.price
    if hourly is None:
        return found
    money = Money(per_hour=hourly, currency=_currency(spec), amount=hourly * found.total / 3600)
    return found.model_copy(update={"money": money})


def _elsewhere(found: Estimate, there: accelerators.Accelerator, price: tuple[float, str] | None) -> Accelerated:
    held = found.memory
    return accelerators.estimated(
        there,
        found.flops,
        found.operations,
        found.learning * found.steps,
        held.weights + held.gradients + held.optimizer + held.copies + held.activations,
        price,
    )


# ------------------------------------------------------------------------------------------------------ rehearsing


def _rehearsed(request: Request, data_seconds: float, place: Path, progress: Progress) -> Estimate:
    """Build, train, export and audit a little, in the folder `place`."""
    progress.stage("plan", "the first steps, on real batches")
    begun = time.perf_counter()
    network, data = build(request), data_of(request)
    memory.refuse(request, network, data)
    built = time.perf_counter() - begun
    learnt = _trained(request, network, data, place, progress)
    progress.stage("plan", "export")
    for encoder in network.pretrained():
        encoder.merge()
    whole = FittedNetwork(network, request.architecture, request.inputs, request.output)
    few = thinned(request, _EXPORTED)
    candidate, stage = assemble(few, whole, place / "bundle", Quiet())
    longer = len(request.valid) / max(1, len(few.valid))
    export = sum(seconds * (longer if part in _GROWS else 1.0) for part, seconds in stage.detail["seconds"].items())
    progress.stage("plan", "the checks")
    compress, notes = _compressed(request, candidate)
    audit = _audited(request, candidate, place)
    waits = min(1.0, (request.settings.patience + 1) / (request.settings.epochs * request.settings.evaluations))
    seconds = {
        "data": data_seconds,
        "search": _search_seconds(request.spec),
        "train": learnt.steps.seconds,
        "evaluations": built + learnt.once + learnt.evaluations,
        "export": export,
        "compress": compress,
        "audit": audit,
    }
    cost = request.spec.cost
    peak = resident.held()["memory_peak"] if devices.device().type == "cpu" else 0
    return Estimate(
        rows={name: len(getattr(request.prepared.splits, name)) for name in ("train", "valid", "test")},
        epochs=request.settings.epochs,
        steps=learnt.steps.count,
        tokens=learnt.steps.tokens,
        parameters=learnt.weights.parameters,
        learning=learnt.weights.learning,
        flops=learnt.steps.flops,
        operations=learnt.steps.operations,
        seconds=seconds,
        at_least=sum(seconds.values()) - (1 - waits) * (learnt.steps.seconds + learnt.evaluations),
        memory=memory.estimated(request, learnt.weights, learnt.kept, learnt.process, peak),
        cores=runtime.usable_cores(),
        watts_per_core=cost.watts_per_core if cost else WATTS_PER_CORE,
        busy=learnt.steps.share,
        notes=(*notes, *_left_out(request)),
    )


class _Learnt(NamedTuple):
    """What was found of the training."""

    steps: Steps
    evaluations: float  # seconds of all, with checkpoints
    once: float  # seconds before the first step
    weights: memory.Weights
    kept: int  # bytes of activations
    process: int  # bytes before the network


def _trained(request: Request, network: Network, data: TrainingData, place: Path, progress: Progress) -> _Learnt:
    settings = request.settings
    process = memory.process(memory.counted(network, settings).weights)
    method = methods.made(settings.training_method or methods.SUPERVISED)
    once = 0.0
    if settings.method == "frozen":
        data, once = _read_once(network, data, settings.batch_tokens * loop.VECTORS_AT_ONCE)
    found = devices.prepare(settings.precision)
    run = loop.prepared(network, data, settings, found, place / "train", Quiet(), method)
    begun = time.perf_counter()
    groups = loop.groups_of(run)
    once += time.perf_counter() - begun
    tuned = autotune.choose(run, groups)  # which a launch that follows remembers
    for key, (value, why) in tuned.choices.items():
        progress.note(f"{key}: {value} ({why})")
    run = autotune.computing(run, tuned.execution)
    weights = memory.counted(network, replace(settings, precision=tuned.execution.precision))
    reads = settings.method != "frozen" and not method.asks and len(data.train) > 0
    kept = memory.activations(network, data, settings, tuned.execution.attention) if reads else 0
    taken = steps.timed(run, groups, tuned.execution)
    with execution.applied(tuned.execution, run.bf16_weights):
        evaluation = steps.evaluated(run)
    best, last = steps.written(run, place / "checkpoints")
    shutil.rmtree(place / "checkpoints")
    times = 1 if method.scored_last or not taken.count else settings.epochs * settings.evaluations
    saved = steps.of_checkpoints(run, taken.seconds, best, last)
    return _Learnt(taken, times * evaluation + saved, once, weights, kept, process)


def _read_once(network: Network, data: TrainingData, budget: int) -> tuple[TrainingData, float]:
    """Rows as a head reads them that learns alone, empty here, and the seconds in which a launch makes them."""
    frozen.freeze(network)
    if data.augmentation or data.dropping or not frozen.only_the_head_learns(network) or not len(data.train):
        return data, 0.0
    assert isinstance(data.train, EncodedRows)
    assert isinstance(data.valid, EncodedRows)
    place = devices.device()
    network.to(place)
    seconds = sum(steps.read_once(network, rows, budget, place) for rows in (data.train, data.valid))
    width = frozen.vectors(network, data.train.take(np.arange(1)), budget, place).values.shape[1]
    train, valid = (Vectors(np.zeros((len(rows), width), np.float32)) for rows in (data.train, data.valid))
    return replace(data, train=train, valid=valid), seconds


def _compressed(request: Request, candidate: Candidate) -> tuple[float, tuple[str, ...]]:
    """The most seconds of a search, by what the network costs as it is; and what is not known."""
    wish, gates = request.spec.compress, request.searched_gates
    costly = any(gate.name in candidates.COSTS for gate in gates)
    if wish == "none" or (wish == "auto" and not costly):
        return 0.0, ()
    asked = wish if isinstance(wish, Compress) else Compress()
    if asked.recipe:
        return 0.0, ("what one recipe of `compress` takes",)
    begun = time.perf_counter()
    if wish == "auto" and affordable_as_it_is(candidates.bench(request, candidate), candidate, gates):
        return time.perf_counter() - begun, ()
    return 60 * asked.minutes, ()


def _search_seconds(spec: Spec) -> float:
    """The most seconds of a search for hyper-parameters."""
    if spec.search is None:
        return 0.0
    return 60 * (spec.search.minutes or (_SEARCHED if spec.search.trials is None else 0))


def _left_out(request: Request) -> tuple[str, ...]:
    """What a launch does that is not rehearsed."""
    notes = []
    if request.spec.search and request.spec.search.trials and not request.spec.search.minutes:
        notes.append(f"{request.spec.search.trials} trials of the search for hyper-parameters: each is a training")
    if request.ways:
        notes.append("the choice among training methods by cross-validation: about half a minute")
    if request.output.read_as is not None:
        notes.append("the small network that judges what is drawn: up to half a minute")
    if request.spec.fairness.mitigate == "thresholds":
        notes.append("the choice of thresholds by groups")
    return tuple(notes)


def _audited(request: Request, candidate: Candidate, place: Path) -> float:
    """Seconds of the audit: of all its rows or, of many, carried on from two numbers of them."""
    rehearsal = Rehearsal(runtime.load(candidate.folder))
    share = min(1.0, _FIRST / max(1, len(request.prepared.splits.train)))
    begun = time.perf_counter()
    looks = {share: _looked_at(request, rehearsal, share, place)}
    if share < 1:
        share = min(1.0, share * max(2.0, _AUDITING / (time.perf_counter() - begun)))
        looks[share] = _looked_at(request, rehearsal, share, place)
    timings = rehearsal.timings()
    gates = [gate.name for gate in request.gates]
    total = 0.0
    for name in looks[share]:
        most = auditing.most_seconds(name, gates)
        taken = [(at, auditing.seconds(found[name], timings, most)) for at, found in looks.items()]
        total += min(most, auditing.carried_on(taken))
    return total


def _looked_at(request: Request, rehearsal: Rehearsal, share: float, place: Path) -> dict[str, Looked]:
    """The parts of the audit with a share of the rows that baselines learn from, and of those that are measured on."""
    splits = request.prepared.splits
    some = thinned(request, max(1, round(share * len(splits.train))))
    count = min(len(splits.test), max(_TESTED, round(share * len(splits.test))))
    test = splits.test.take(np.unique(np.linspace(0, len(splits.test) - 1, count).astype(np.int64)))
    some = replace(some, prepared=replace(some.prepared, splits=replace(some.prepared.splits, test=test)))
    context = context_of(some, rehearsal.model)
    found = rehearsal.checks(context)
    found["baseline of drift"] = rehearsal.look(lambda: write_baseline(context, rehearsal.model))
    found["plots"] = rehearsal.look(lambda: plots.draw(rehearsal.evidence, place / "plots"))
    return found
