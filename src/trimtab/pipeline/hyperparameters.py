"""The stage `search`: trials with other values of some keys of the spec, of which the best is launched.

Validation rows choose between the trials. The test rows, which gates are measured on, choose nothing: at the end the
best network and the one of the spec as it is answer them once, so that the optimism of the best of many is told.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab import files, metrics, registry
from trimtab.audit import paired, quick
from trimtab.bundle.manifest import Automatic, Stage
from trimtab.columns import Outputs
from trimtab.errors import TrimtabError, problem
from trimtab.hyperparameters import space as spaces
from trimtab.hyperparameters.results import Result, State, sentences
from trimtab.hyperparameters.space import Variants
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.network import Network, taught
from trimtab.pipeline import training
from trimtab.progress import Progress
from trimtab.request import Request, encoding, read_to_learn, resume
from trimtab.search import assembly
from trimtab.spec import Dimension, Search, written
from trimtab.train import checkpoint, devices, loop
from trimtab.train.checkpoint import Position
from trimtab.train.score import score

if TYPE_CHECKING:  # Optuna is loaded where a search is asked for
    import optuna

    from trimtab.hyperparameters.study import Study

FOLDER = "search"  # in the work folder of a run
_LEAST_SHARE = 0.3  # of the quickest trial's time that must be left for another one to begin
_REPEATS = 10  # trials in a row that would repeat others: the space is used up


@dataclass(frozen=True)
class Found:
    """What a search found: the request with the best values filled in, and how it came to them."""

    request: Request
    evidence: dict[str, Any]
    stage: Stage
    trained: Path | None  # the folder of the best trial's training, where the launch would train just the same
    asked: bool  # whether the spec itself asks for a search


class _Stopped(Exception):
    """A trial ends early; the message says why."""


@dataclass(frozen=True)
class _Plan:
    """What a search works with."""

    search: Search
    variants: Variants
    space: list[Dimension]
    study: Study
    folder: Path

    @property
    def request(self) -> Request:
        """That of the spec as it is."""
        return self.variants.request

    def network_folder(self, number: int) -> Path:
        """Where the training of a trial is kept."""
        return self.folder / "networks" / str(number)


def searched(request: Request, folder: Path, home: Path, progress: Progress) -> Found:
    """Try other values of some keys, or go on with a search that was stopped, and fill in the best ones.

    `folder` is that of the spec, `home` that of the run. Raises TrimtabError, before anything is trained, for a space
    of which no network can be made, and where a search makes no sense.
    """
    begun = time.perf_counter()
    plan = _planned(request, folder, home / "work" / FOLDER)
    seconds, trials = plan.search.seconds, plan.search.trials
    asked = [f"at most {trials} trials" if trials else "", f"{seconds / 60:g} minutes" if seconds else ""]
    progress.stage("search", ", ".join(filter(None, asked)))
    for one in plan.space:
        progress.note(f"{one.key}: {one}" + (f" (with {_when(one)})" if one.when else ""))
    _run_all(plan, progress)
    best = _best(plan)
    evidence = _evidence(plan, best)
    filled, trained = _filled(plan, request, folder, best, evidence)
    done = {"trials": len(evidence["trials"]), "best": best.number}
    stage = Stage(name="search", seconds=time.perf_counter() - begun, detail=done)
    return Found(filled, evidence, stage, trained, request.spec.search is not None)


def adopt(found: Found, folder: Path) -> None:
    """Let the launch take over the training of the best trial, where it would train just the same."""
    if found.trained is None:
        return
    own, there = found.trained / "key", folder / "key"
    if not there.is_file() or there.read_bytes() != own.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(found.trained, folder)


def _when(one: Dimension) -> str:
    return ", ".join(f"{key} {' or '.join(map(written, values))}" for key, values in one.when)


# -------------------------------------------------------------------------------------------------------- planning


def _planned(request: Request, folder: Path, home: Path) -> _Plan:
    search = request.spec.search or Search()
    _check(request, search)
    request = replace(request, spec=request.spec.model_copy(update={"search": search}))
    fewer = _with_fewer_rows(request, search.rows)
    usual = Variants(fewer, folder, home / "base").of(request.spec)
    variants = Variants(replace(usual, ways=()), folder, home / "base")
    space = spaces.dimensions(variants.request)
    spaces.check(variants, space)
    key = _key(variants.request, space, search)
    resume.begin(home / "networks", key)
    url = search.storage or f"sqlite:///{home.resolve() / 'trials.db'}"
    opened = registry.attribute("trimtab.hyperparameters.study", "opened", "search")
    study: Study = opened(
        url,
        f"{request.spec.run_name}-{key[:16]}",
        space,
        spaces.as_it_is(variants.request, space),
        search.objectives,
        request.spec.seed,
        _worker(home) if search.storage else "local",
    )
    return _Plan(search, variants, space, study, home)


def _check(request: Request, search: Search) -> None:
    if request.ways or request.held_out is not None:
        rows = len(request.train) + len(request.valid)
        found = f"{rows} labelled rows: too few to choose by; cross-validation takes the training method"
        raise problem("search", found, do="leave it out, or label more rows")
    if search.pick is not None and len(search.objectives) == 1 and search.trials and search.pick >= search.trials:
        raise problem("search.pick", f"found {search.pick}", f"0 to {search.trials - 1}")


def _with_fewer_rows(request: Request, count: int | None) -> Request:
    """The request with at most so many rows to learn from, evenly from all; those that choose stay."""
    if count is None or count >= len(request.train):
        return request
    picked = np.unique(np.linspace(0, len(request.train) - 1, count).astype(np.int64))
    splits = request.prepared.splits
    splits = replace(splits, train=splits.train.take(picked))
    return replace(request, prepared=replace(request.prepared, splits=splits), train=request.train.take(picked))


def _key(request: Request, space: Sequence[Dimension], search: Search) -> str:
    """Changes when anything does that trials are made of or compared by; not with how many there are."""
    said = [resume.train_key(request), list(map(repr, space)), list(search.objectives)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _worker(home: Path) -> str:
    """What tells this run's trials from those of other machines; it stays the same when the run goes on."""
    note = home / "worker"
    if not note.is_file():
        files.write(note, uuid.uuid4().hex)
    return note.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- trials


def _run_all(plan: _Plan, progress: Progress) -> None:
    """Trials until enough were made, or the time is over. Raises TrimtabError where several processes would learn."""
    if _goes_on(plan) and devices.joined() > 1:
        found = "its trials learn in one process each, and several share this launch"
        raise problem("search", found, do="`trimtab search` first, by itself; the launch goes on from there")
    while _goes_on(plan):
        trial = plan.study.next()
        values = _resolved(plan, plan.study.taken(trial))
        if plan.study.as_it_is(trial) or plan.study.repeated(trial, values) is None:
            _run(plan, trial, values, progress)
    _forget(plan)


def _goes_on(plan: _Plan) -> bool:
    ended = [one for one in plan.study.results() if one.state != "running"]
    if len(ended) >= (plan.search.trials or math.inf) or plan.study.repeats() >= _REPEATS:
        return False
    if plan.search.seconds is None or not ended:
        return True
    quickest = min((one.seconds for one in ended if one.state == "done"), default=0.0)
    return plan.search.seconds - plan.study.spent() > _LEAST_SHARE * quickest


def _resolved(plan: _Plan, taken: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial sets otherwise than the spec; values that do not go together as they were taken: the trial fails."""
    changed = _changed(plan, taken)
    try:
        return spaces.resolved(plan.variants, plan.space, changed)
    except TrimtabError:
        return changed


def _changed(plan: _Plan, taken: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as the spec has it."""
    first = plan.study.first
    return {key: value for key, value in taken.items() if key not in first or first[key] != value}


def _run(plan: _Plan, trial: optuna.Trial, values: dict[str, Any], progress: Progress) -> None:
    """One trial, from its start or where it was killed, until its end or until it is stopped."""
    is_first = plan.study.as_it_is(trial)
    watch = _Watch(plan, trial, progress)
    kept = plan.network_folder(trial.number)
    state: State = "done"
    why = ""
    try:
        request = replace(plan.variants.of(spaces.spec_with(plan.request, values)), ways=())
        watch.metric = request.settings.score
        network, trained, _ = training.train(request, kept, watch, watch.on_score)
        found = _measured(plan, request, network, trained, kept)
        if found.ranked is None:
            raise problem("train", "its outputs are no numbers")
    except _Stopped as reason:
        state, why = "stopped", str(reason)
        found = _Measured(watch.best, None, {})
    except TrimtabError as error:
        if is_first:
            raise
        state, why, found = "failed", " ".join(str(error).split()), _Measured(None, None, {})
    result = Result(trial.number, state, values, found.score, found.ranked, found.costs, watch.seconds, why, is_first)
    plan.study.finish(trial, result)
    progress.note(result.line(plan.request.settings.score))
    _forget(plan)


def _forget(plan: _Plan) -> None:
    """Of all networks keep that of the spec as it is, and the best one so far."""
    results = plan.study.results()
    best = _best_of(plan, results)
    for one in results:
        if one.state != "running" and not one.as_it_is and one != best:
            shutil.rmtree(plan.network_folder(one.number), ignore_errors=True)


@dataclass(frozen=True)
class _Measured:
    """The metric of the validation rows, how it ranks (higher for the better one), and what it costs to serve."""

    score: float | None
    ranked: float | None
    costs: dict[str, float]


def _measured(plan: _Plan, request: Request, network: Network, trained: loop.TrainingResult, folder: Path) -> _Measured:
    """By the same metric for all trials, whichever chose their checkpoints."""
    name, output = plan.request.settings.score, request.output
    if request.settings.score == name:
        ranked = trained.best
        better = max if metrics.named(name).higher_is_better else min
        value = better(entry["score"] for entry in trained.history)
    else:
        valid = request.prepared.splits.valid
        targets = output.targets(valid.values[output.name])
        value, ranked = score(name, output, targets, _answers(network, request, "valid"), valid.weights)
    if not math.isfinite(ranked) or not math.isfinite(value):
        return _Measured(None, None, {})
    return _Measured(value, ranked, _costs(plan, request, network, folder))


def _costs(plan: _Plan, request: Request, network: Network, folder: Path) -> dict[str, float]:
    """What the network costs as the bundle that it would be; nothing where quality alone is asked for."""
    names = [name for name in plan.search.objectives if name != "quality"]
    if not names:
        return {}
    whole = FittedNetwork(network, request.architecture, request.inputs, request.output)
    place = folder / "bundle"
    made = assembly.sealed(request, assembly.exported(assembly.EncodedSplits(request), whole, place))
    inputs = [column.name for column in request.inputs]
    rows = [{name: row[name] for name in inputs} for row in request.prepared.splits.valid.rows()]
    found = quick.quick(made.model, rows, names, request.spec.seed).measured
    shutil.rmtree(place)
    return {name: found[name].value for name in names}


def _answers(network: Network, request: Request, part: str) -> Outputs:
    """What a network answers to the validation or the test rows."""
    table = getattr(request.prepared.splits, part)
    learnt = read_to_learn(request.inputs, request.output)
    rows = request.valid if part == "valid" else encoding.encode(learnt, table)
    targets = request.output.targets(table.values[request.output.name])
    budget = max(request.settings.batch_tokens * 2, int(rows.steps.max(initial=1)))
    return loop.predict(network, rows, budget, devices.device(), targets if taught(network) else None)


class _Watch:
    """What a trial tells while it learns: it ends the trial where it falls behind, or where the time is over."""

    def __init__(self, plan: _Plan, trial: optuna.Trial, progress: Progress) -> None:
        self.plan, self.trial, self.progress = plan, trial, progress
        self.begun, self.before = time.perf_counter(), plan.study.begun(trial)
        self.spent = plan.study.spent() - self.before  # by the trials before
        self.ended = sum(one.state != "running" for one in plan.study.results())
        self.metric = ""
        self.best: float | None = None  # of that metric

    @property
    def seconds(self) -> float:
        """Of this trial, also before it was killed."""
        return self.before + time.perf_counter() - self.begun

    def stage(self, name: str, detail: str = "") -> None:
        """Told to nobody."""

    def note(self, text: str) -> None:
        """Told to nobody."""

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """How far the search has come: in seconds, or in hundredths of trials."""
        search, spent = self.plan.search, self.spent + self.seconds
        if search.seconds is None:
            of = 100 * (search.trials or 1)
            self.progress.tick(100 * self.ended + 100 * done // max(1, total), of, self._figures(figures))
            return
        self.progress.tick(min(int(spent), int(search.seconds)), int(search.seconds), self._figures(figures))
        if spent > search.seconds and not self.plan.study.as_it_is(self.trial):
            raise _Stopped("the minutes were over")

    def _figures(self, figures: Mapping[str, float | str]) -> dict[str, float | str]:
        return {"trial": str(self.trial.number), **figures}

    def on_score(self, position: Position) -> None:
        """After an evaluation."""
        usual = self.plan.request.settings
        if self.metric != usual.score:
            return  # it cannot be compared before its end
        scores = [entry["score"] for entry in position.history]
        self.best = (max if metrics.named(self.metric).higher_is_better else min)(scores)
        self.plan.study.report(self.trial, len(scores), position.best, self.seconds)
        if self.plan.study.gives_up(self.trial, usual.epochs * usual.evaluations) and not position.finished:
            raise _Stopped(f"behind at evaluation {len(scores)}")


# --------------------------------------------------------------------------------------------------------- results


def _best(plan: _Plan) -> Result:
    """The trial to launch. Raises TrimtabError where there is none, or not the one that is asked for."""
    results, pick = plan.study.results(), plan.search.pick
    found = _best_of(plan, results)
    if pick is not None:
        done = {one.number: one for one in results if one.state == "done"}
        if pick not in done:
            raise problem("search.pick", f"trial {pick} was not carried out to its end", ", ".join(map(str, done)))
        return done[pick]
    if found is None:
        raise problem("search", "no trial ended", do="more minutes or trials")
    return found


def _best_of(plan: _Plan, results: Sequence[Result]) -> Result | None:
    """The best on the validation rows, of trials whose costs meet the gates where any do; of equal ones the first."""
    done = [one for one in results if one.state == "done" and one.ranked is not None]
    costs = [gate for gate in plan.request.gates if gate.name in plan.search.objectives]
    meet = [one for one in done if all(gate.met(one.costs[gate.name]) for gate in costs)]
    return max(meet or done, key=lambda one: (one.ranked, -one.number), default=None)


def _evidence(plan: _Plan, best: Result) -> dict[str, Any]:
    """What the card and the command tell: all trials, what mattered, and what choosing the best of them is worth."""
    results = [one for one in plan.study.results() if one.state != "running"]
    several = len(plan.search.objectives) > 1
    found: dict[str, Any] = {
        "metric": plan.request.settings.score,
        "rows": {"train": len(plan.request.train), "valid": len(plan.request.valid)},
        "objectives": list(plan.search.objectives),
        "space": {one.key: str(one) for one in plan.space},
        "trials": [one.as_json() for one in results],
        "best": best.number,
        "importance": {key: round(share, 3) for key, share in plan.study.importance().items()},
        **({"frontier": plan.study.frontier()} if several else {}),
    }
    change = _unseen(plan, best)
    if change is not None:
        found["unseen"] = change
    lines = sentences(best, results, plan.request.settings.score, len(plan.request.valid), change)
    return {**found, "lines": list(lines)}


def _unseen(plan: _Plan, best: Result) -> dict[str, Any] | None:
    """The best network and that of the spec as it is on the test rows, which chose neither, by a paired test.

    None where one of them learnt on another machine, or where answers are written.
    """
    first = next((one for one in plan.study.results() if one.as_it_is and one.state == "done"), None)
    before = _kept_answers(plan, first) if first else None
    after = before if best.as_it_is else _kept_answers(plan, best)
    if before is None or after is None:
        return None
    test, output = plan.request.prepared.splits.test, plan.request.output
    targets = output.targets(test.values[output.name])
    seed = plan.request.spec.seed
    change = paired.changed(output, targets, (before, after), seed, test.of(output.user), test.weights)
    if change is None:
        return None
    return {
        "metric": output.headline,
        "rows": change.rows,
        "as_it_is": change.before.value,
        "best": change.after.value,
        "change": change.change.model_dump(include={"value", "low", "high"}),
        "p": change.p,
        "gained": change.gained,
    }


def _kept_answers(plan: _Plan, one: Result) -> Outputs | None:
    request = plan.variants.of(spaces.spec_with(plan.request, one.values))
    weights = checkpoint.read(plan.network_folder(one.number), "best")
    if weights is None:
        return None
    network = training.build(request)
    if taught(network):
        return None
    network.load_state_dict(weights[0])
    return _answers(network, request, "test")


# ------------------------------------------------------------------------------------------------------- filled in


def _filled(
    plan: _Plan, request: Request, folder: Path, best: Result, evidence: Mapping[str, Any]
) -> tuple[Request, Path | None]:
    """The request, of all rows, with the best values; and the training of the best trial where it is the same one."""
    of_all = plan.variants if plan.search.rows is None else Variants(request, folder, plan.folder / "base")
    values = best.values
    if values and plan.search.rows is not None:  # factors are of what all rows would be trained by
        values = spaces.resolved(of_all, plan.space, _changed(plan, plan.study.taken_by(best.number)))
    found = of_all.of(spaces.spec_with(of_all.request, values)) if values else request
    first = next((one for one in evidence["trials"] if "as_it_is" in one and one["score"] is not None), None)
    metric, trials = evidence["metric"], len(evidence["trials"])
    reason = f"trial {best.number} of {trials}: {metric} {best.score:.4f} on {len(request.valid):,} validation rows"
    reason += f", {first['score']:.4f} as the spec was" if first and not best.as_it_is else ""
    said = found.spec.model_dump(mode="json")  # a part stands there with all its options
    told = {key: spaces.value_at(said, key) for key in values}
    entries = [Automatic(key=key, value=told[key] or value, reason=reason) for key, value in values.items()]
    kept = plan.network_folder(best.number)
    note = kept / "key"
    same = note.is_file() and note.read_text(encoding="utf-8") == resume.train_key(found)
    found = replace(found, automatic=[*found.automatic, *entries], searched=dict(evidence))
    return found, kept if same else None
