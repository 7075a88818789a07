"""The trials of a search, kept by Optuna: what is tried next, what is given up early, and which keys mattered.

Sampler and pruner hold nothing between trials: what is tried next depends on the seed, the number of the trial and the
trials before it. So a search that was killed goes on as one that was not.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from trimtab.errors import problem
from trimtab.hyperparameters.results import Result, State
from trimtab.spec import Dimension, Objective, written

# Trials at random before the tree-structured Parzen estimator has something to go by. The spec as it is holds what was
# good on many data: each of these trials changes some keys of it alone, every one with this chance.
_RANDOM, _CHANGED = 6, 0.5
_POPULATION = 8  # of NSGA-II: few trials are affordable, and a generation must end to teach anything
_REDUCTION = 3  # of successive halving: the best third of the trials goes on
_RUNGS = 9  # a trial is first held against others after this part of its evaluations
_WHOLE = 3  # trials that run to their end before any is stopped, so that slow starters are known
_FEWEST = 6  # trials by which the importance of keys is told
_WAIT = 60.0  # seconds for a file of SQLite that another process writes
_DIRECTIONS: dict[Objective, Literal["minimize", "maximize"]] = {
    "quality": "maximize",
    "latency": "minimize",
    "size": "minimize",
    "throughput": "maximize",
}
_SIMPLE = (str, int, float, bool, type(None))  # what Optuna takes as a choice
# What is kept beside a trial: of the one with the spec as it is, the keys whose values are known to lie in the space.
_AS_IT_IS, _CHANGES, _WORKER, _RESULT = "as_it_is", "changes", "worker", "result"


class Study:
    """Trials of one search on one storage; others may work on it too where it is shared."""

    def __init__(
        self,
        study: optuna.Study,
        space: Sequence[Dimension],
        first: Mapping[str, Any],
        objectives: Sequence[Objective],
        seed: int,
        worker: str,
    ) -> None:
        self._study, self._space, self._objectives = study, space, objectives
        self.first = first  # what the spec as it is takes of the space, as far as that lies in it
        self._seed, self._worker = seed, worker

    # ------------------------------------------------------------------------------------------------- next one

    def next(self) -> optuna.Trial:
        """The trial that this worker was killed in, or a new one."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.user_attrs.get(_WORKER, self._worker) == self._worker:
                return optuna.Trial(self._study, trial._trial_id)
        trials = self._study.get_trials(deepcopy=False)
        if not any(trial.state == TrialState.WAITING for trial in trials) and len(trials) < _RANDOM:
            self._enqueue(len(trials))
        self._study.sampler = self._sampler(len(trials))
        found = self._study.ask()
        found.set_user_attr(_WORKER, self._worker)
        return found

    def _enqueue(self, number: int) -> None:
        """The first trial is that of the spec as it is; each of the next ones changes some keys of it."""
        keys = [one.key for one in self._space]
        changes = np.random.default_rng([self._seed, number]).random(len(keys)) < _CHANGED
        if number == 0:
            attributes: dict[str, Any] = {_AS_IT_IS: True, _CHANGES: []}
        else:
            attributes = {_CHANGES: [key for key, does in zip(keys, changes, strict=True) if does] or keys}
        kept = [one for one in self._space if one.key in self.first and one.key not in attributes[_CHANGES]]
        self._study.enqueue_trial({one.key: _simple(self.first[one.key]) for one in kept}, user_attrs=attributes)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        if len(self._objectives) > 1:
            return optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=seed)
        return optuna.samplers.TPESampler(n_startup_trials=_RANDOM, seed=seed)

    def taken(self, trial: optuna.Trial) -> dict[str, Any]:
        """What a trial takes of the space; a key that is as the spec has it is left out where that is not known."""
        changes = trial.user_attrs.get(_CHANGES)
        found: dict[str, Any] = {}
        for one in self._space:
            if one.applies(found) and (changes is None or one.key in changes or one.key in self.first):
                found[one.key] = _suggested(trial, one)
        return found

    def taken_by(self, number: int) -> dict[str, Any]:
        """What a trial of that number took of the space."""
        params = self._study.get_trials(deepcopy=False)[number].params
        return {one.key: _meant(one, params[one.key]) for one in self._space if one.key in params}

    def as_it_is(self, trial: optuna.Trial) -> bool:
        """Whether it is the trial with the spec as it is."""
        return _AS_IT_IS in trial.user_attrs

    # -------------------------------------------------------------------------------------------------- on its way

    def report(self, trial: optuna.Trial, evaluations: int, ranked: float, seconds: float) -> None:
        """Note how good a trial is after so many evaluations, and what it took so far."""
        trial.set_user_attr("seconds", seconds)
        if len(self._objectives) == 1 and evaluations not in self._frozen(trial).intermediate_values:
            trial.report(ranked if math.isfinite(ranked) else math.nan, evaluations)

    def gives_up(self, trial: optuna.Trial, evaluations: int) -> bool:
        """Whether a trial is not worth more time, by asynchronous successive halving (arXiv:1810.05934).

        `evaluations` are those of the spec as it is.
        """
        if len(self._objectives) > 1 or self.as_it_is(trial):
            return False
        pruner = optuna.pruners.SuccessiveHalvingPruner(max(1, evaluations // _RUNGS), _REDUCTION)
        behind = pruner.prune(self._study, self._frozen(trial))  # asked in any case: it notes the trial's rungs
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return behind and len(done) >= _WHOLE

    def begun(self, trial: optuna.Trial) -> float:
        """Seconds that a trial took before it was killed."""
        return float(trial.user_attrs.get("seconds", 0.0))

    def finish(self, trial: optuna.Trial, result: Result) -> None:
        """Keep what came of a trial."""
        kept = {"values": result.values, "score": result.score, "ranked": result.ranked, "costs": result.costs}
        trial.set_user_attr(_RESULT, kept)
        trial.set_user_attr("seconds", result.seconds)
        trial.set_user_attr("why", result.why)
        if result.state == "done" and result.ranked is not None:
            costs = [result.costs[name] for name in self._objectives[1:]]
            self._study.tell(trial, [result.ranked, *costs])
        else:
            self._study.tell(trial, state=TrialState.PRUNED if result.state == "stopped" else TrialState.FAIL)

    def repeated(self, trial: optuna.Trial, values: Mapping[str, Any]) -> Result | None:
        """The trial that set the very same values and ended; this one is given up then, as if it was never asked."""
        same = (one for one in self.results() if one.state in ("done", "stopped") and one.values == values)
        found = next((one for one in same if one.number != trial.number), None)
        if found is not None:
            trial.set_user_attr("repeats", found.number)
            self._study.tell(trial, state=TrialState.FAIL)
        return found

    # ---------------------------------------------------------------------------------------------------- results

    def results(self) -> list[Result]:
        """All trials that began, in their order; those that would have repeated others are left out."""
        return [_result(one) for one in self._study.get_trials(deepcopy=False) if _began(one)]

    def spent(self) -> float:
        """Seconds of this worker's trials."""
        own = (one for one in self._study.get_trials(deepcopy=False) if one.user_attrs.get(_WORKER) == self._worker)
        return sum(float(one.user_attrs.get("seconds", 0.0)) for one in own)

    def repeats(self) -> int:
        """How many of the last trials would have repeated others: the space may be used up."""
        count = 0
        for one in reversed(self._study.get_trials(deepcopy=False)):
            if "repeats" not in one.user_attrs:
                break
            count += 1
        return count

    def frontier(self) -> list[int]:
        """Trials than which no other is better in everything."""
        return sorted(one.number for one in self._study.best_trials)

    def importance(self) -> dict[str, float]:
        """How much each key decided whether a trial was among the best ones, by PED-ANOVA (arXiv:2304.10255).

        A trial that was stopped early counts with its last score. Empty of too few trials.
        """
        alone = optuna.create_study(direction="maximize")
        for one in self._study.get_trials(deepcopy=False):
            value = one.values[0] if one.values else one.intermediate_values.get(one.last_step or 0)
            if one.params and value is not None and one.state in (TrialState.COMPLETE, TrialState.PRUNED):
                made = optuna.trial.create_trial(value=value, params=one.params, distributions=one.distributions)
                alone.add_trial(made)
        if len(alone.trials) < _FEWEST or len({one.value for one in alone.trials}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that few trials had
            found = optuna.importance.get_param_importances(alone)
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _frozen(self, trial: optuna.Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[trial.number]


def opened(
    url: str,
    name: str,
    space: Sequence[Dimension],
    first: Mapping[str, Any],
    objectives: Sequence[Objective],
    seed: int,
    worker: str,
) -> Study:
    """The study of that name, made where it is not there, with the spec as it is (`first`) as its first trial.

    `worker` tells the trials of this run from those of others on a storage that is shared. Raises TrimtabError for a
    storage that cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = [_DIRECTIONS[one] for one in objectives]
    try:
        engine = {"connect_args": {"timeout": _WAIT}} if url.startswith("sqlite") else {"pool_pre_ping": True}
        driven = url.replace("postgresql://", "postgresql+psycopg://", 1)
        storage = optuna.storages.RDBStorage(driven, engine_kwargs=engine)
        study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    except (SQLAlchemyError, ImportError) as error:
        where = re.sub(r"//[^@/]*@", "//", url).partition("?")[0]
        said = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        do = "is the server there, and may this user write to it? It needs `pip install 'trimtab[postgresql]'`"
        raise problem("search.storage", f"{where} cannot be used ({said})", do=do) from None
    return Study(study, space, first, objectives, seed, worker)


def _suggested(trial: optuna.Trial, one: Dimension) -> Any:
    if one.values:
        return _meant(one, trial.suggest_categorical(one.key, [_simple(value) for value in one.values]))
    if one.whole:
        return trial.suggest_int(one.key, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(one.key, one.low, one.high, log=one.log)


def _meant(one: Dimension, value: Any) -> Any:
    """The value of a key as the spec has it."""
    return one.values[[_simple(known) for known in one.values].index(value)] if one.values else value


def _simple(value: Any) -> Any:
    """A value as Optuna keeps it: a list or a mapping as JSON."""
    return value if isinstance(value, _SIMPLE) else written(value)


def _began(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.WAITING and "repeats" not in trial.user_attrs


_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def _result(trial: FrozenTrial) -> Result:
    said = trial.user_attrs
    kept = said.get(_RESULT, {"values": {}, "score": None, "ranked": None, "costs": {}})
    state, seconds, why = _STATES[trial.state], float(said.get("seconds", 0.0)), str(said.get("why", ""))
    return Result(trial.number, state, **kept, seconds=seconds, why=why, as_it_is=_AS_IT_IS in said)
