"""From a recipe to a network: what all candidates share is prepared once, then each is shaped and distilled."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trimtab import columns, files
from trimtab.columns import EncodedRows, Ragged, Targets, encode_rows, taken
from trimtab.columns.text import TextColumn
from trimtab.compress import Skip, distil, layers, prune, students, varied, vocabulary
from trimtab.compress.distil import DistillationData
from trimtab.compress.latency import Table
from trimtab.compress.smaller import SIZES, smaller
from trimtab.compress.teacher import kept_outputs, outputs_of
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Progress
from trimtab.spec import Recipe
from trimtab.train import devices
from trimtab.train.settings import Settings

_VARIED_SHARE, _MOST_VARIED = 8, 40_000  # rows made of each training row, and of all
_MINUTES = 10.0  # of a search for which the costs below are meant
_NEIGHBOURS = 12  # tokens that may stand in for one
_NEIGHBOUR_TOKENS = 12_000  # whose neighbours are looked for at most
_TIMED_ROWS = 128  # that tell how many the teacher answers in a second
_LOOP = 0.85  # of the speed of bare passes that training has
_LEAST_TOKENS = 20_000  # that stay where there are so many: on sst2, 16,000 of 30,522 cost half a point of accuracy


@dataclass(frozen=True)
class Rows:
    """Raw rows of the columns, and their targets; `unlabelled` have none."""

    train: Mapping[str, Sequence[Any]]
    targets: Targets
    valid: Mapping[str, Sequence[Any]]
    valid_targets: Targets
    unlabelled: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class BuildContext:
    """What every candidate is made of: the network without what no row needs, and what it says of all rows."""

    teacher: FittedNetwork
    train: EncodedRows
    targets: Targets
    distillation: DistillationData
    settings: Settings
    minutes: float
    notes: tuple[tuple[str, str], ...] = ()  # (step, why it was left out)
    table: Table | None = None  # of this machine, for `to_latency`
    importances: dict[tuple[object, ...], tuple[prune.Measured, ...] | Skip] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingPlan:
    """How a kind of student learns."""

    tokens: float  # steps of rows to learn from, over all epochs, in a search of ten minutes
    rate: float
    batch: int  # steps in a batch
    most_epochs: int = 12
    ema_decay: float = 0.0


# Static vectors and convolutions learn thousands of rows a second and gain from many; a block some hundreds.
COURSES = {
    "static": TrainingPlan(8e6, 2e-3, 8192),
    "conv": TrainingPlan(8e6, 1.5e-3, 4096),
    "tiny": TrainingPlan(4e6, 1e-3, 2048),
    "smaller": TrainingPlan(30e6, 2e-3, 0, most_epochs=40, ema_decay=0.998),
    "layers": TrainingPlan(1.3e6, 2e-4, 1024),
    # What is only narrower answers nearly as before: at three times this rate it first unlearns what it knows.
    "pruned": TrainingPlan(1.3e6, 8e-5, 1024),
}


def prepare(
    trained: FittedNetwork,
    rows: Rows,
    settings: Settings,
    recipe: Recipe | None,
    minutes: float,
    folder: Path,
    progress: Progress,
    seconds: float = math.inf,
) -> BuildContext:
    """Trim and simplify the network, vary the rows, and take the network's outputs of all of them.

    Of the varied rows as many as it answers in `seconds`. The outputs are kept in `folder`, for a run that is killed
    and goes on.
    """
    notes: list[tuple[str, str]] = []
    teacher = trained
    tokens = recipe.vocabulary if recipe else None
    if tokens != "none":
        known = {name: [*values, *rows.unlabelled.get(name, ())] for name, values in rows.train.items()}
        teacher = _step("vocabulary", vocabulary.trim(teacher, known, tokens, _LEAST_TOKENS), teacher, notes)
    teacher = _step("compact", layers.compact(teacher), teacher, notes)
    train = encode_rows(teacher.inputs, rows.train)
    valid = encode_rows(teacher.inputs, rows.valid)
    most = _most_varied(teacher, train, folder, settings.precision, seconds)
    more = _more(teacher, train, rows.unlabelled, settings.seed, most)
    outputs, vectors = kept_outputs(teacher, more, folder, settings.precision, progress)
    distillation = DistillationData(more, outputs, vectors, valid, rows.valid_targets, teacher.output)
    return BuildContext(teacher, train, rows.targets, distillation, settings, minutes, tuple(notes))


def _step(name: str, found: FittedNetwork | Skip, before: FittedNetwork, notes: list[tuple[str, str]]) -> FittedNetwork:
    """What a step gave; where it does not apply, the network before it and a note."""
    if isinstance(found, Skip):
        notes.append((name, found.reason))
        return before
    return found


def _most_varied(teacher: FittedNetwork, rows: EncodedRows, folder: Path, precision: str, seconds: float) -> int:
    """As many rows as the network answers in the seconds, in steps of a fifth; written down, for a run that goes on."""
    note = folder / "varied.json"
    known = files.read_json(note)
    if known is None:
        some = rows.take(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _TIMED_ROWS)).astype(np.int64)))
        begun = time.perf_counter()
        if math.isfinite(seconds) and distil.distillable(teacher):
            outputs_of(teacher, some, precision)
        within = len(some) * seconds / max(time.perf_counter() - begun, 1e-6)
        counts = (_MOST_VARIED * 0.8**number for number in range(40))
        known = {"rows": next((int(count) for count in counts if count <= within), 0)}
        folder.mkdir(parents=True, exist_ok=True)
        files.write(note, json.dumps(known))
    return int(known["rows"])


def _more(
    teacher: FittedNetwork, train: EncodedRows, unlabelled: Mapping[str, Sequence[Any]], seed: int, most: int
) -> EncodedRows:
    """The training rows, those without an answer, and at most so many rows varied from both."""
    rows = train
    if unlabelled and all(len(values) for values in unlabelled.values()):
        rows = rows.concat(encode_rows(teacher.inputs, unlabelled))
    count = min(most, _VARIED_SHARE * len(rows))
    extra = varied.vary(teacher.inputs, rows, count, seed, neighbours=_neighbours(teacher, rows))
    return rows if extra is None else rows.concat(extra)


def _neighbours(teacher: FittedNetwork, rows: EncodedRows) -> dict[str, np.ndarray]:
    """For each text the tokens of the whole vocabulary that lie nearest to each that the rows use, (ids, some)."""
    found = {}
    for entry in teacher.architecture.encoders:
        encoder = teacher.network.encoders[entry.key]
        for column, encoded in zip(rows.columns, rows.encoded, strict=True):
            if isinstance(column, TextColumn) and column.key in entry.reads and isinstance(encoded, Ragged):
                table = students.token_table(encoder, column.vocabulary)
                if table is not None:
                    found[column.key] = _nearest(table, encoded.values, column)
    return found


def _nearest(table: torch.Tensor, used: np.ndarray, column: TextColumn) -> np.ndarray:
    """Each id's nearest ones by the cosine of their vectors; an id that is not used, or is special, is its own."""
    ids, times = np.unique(used, return_counts=True)
    special = {column.pad_id, *column.tokenizer.get_added_tokens_decoder()}
    common = ids[np.argsort(-times, kind="stable")][:_NEIGHBOUR_TOKENS]
    asked = torch.from_numpy(np.sort(common[~np.isin(common, list(special))]))
    candidates = torch.tensor([i for i in range(len(table)) if i not in special])
    found = np.tile(np.arange(len(table))[:, None], (1, _NEIGHBOURS))
    if not len(asked) or len(candidates) <= _NEIGHBOURS:
        return found
    unit = torch.nn.functional.normalize(table.float(), dim=1)
    for part in asked.split(2048):
        nearest = (unit[part] @ unit[candidates].T).topk(_NEIGHBOURS + 1, dim=1).indices[:, 1:]
        found[part.numpy()] = candidates[nearest].numpy()
    return found


# --------------------------------------------------------------------------------------------------------- recipes


def shape(recipe: Recipe, context: BuildContext) -> FittedNetwork | Skip:
    """The network of a recipe before it learns; `Skip` where the recipe does not apply."""
    network: FittedNetwork | Skip = context.teacher
    if learns(recipe) and not distil.distillable(context.teacher):
        return Skip(f"the head of {columns.word(context.teacher.output.type)} has no loss against a teacher's outputs")
    for wanted, step in _STEPS:
        if wanted(recipe) and isinstance(network, FittedNetwork):
            network = step(network, recipe, context)
    return network


def _student(teacher: FittedNetwork, recipe: Recipe, context: BuildContext) -> FittedNetwork | Skip:
    assert recipe.student
    if recipe.student != "smaller":
        return students.student(recipe.student, teacher, context.settings.seed, recipe.layers, recipe.embedding)
    found = smaller(teacher, context.settings.seed)
    if isinstance(found, Skip):
        return found
    share = recipe.neurons or SIZES[0].share
    larger = sum(size.share < share for size in SIZES)
    return found[min(larger, len(found) - 1)]


def _layers(teacher: FittedNetwork, recipe: Recipe, context: BuildContext) -> FittedNetwork | Skip:
    assert recipe.layers
    depth = layers.depth(teacher)
    if depth <= recipe.layers:
        return Skip(f"the network has {depth} layers" if depth else "the network has no layers that could be dropped")
    return layers.keep(teacher, layers.evenly(depth, recipe.layers))


def _narrow(network: FittedNetwork, recipe: Recipe, context: BuildContext) -> FittedNetwork | Skip:
    assert recipe.embedding
    return layers.narrow(network, recipe.embedding, _frequencies(context))


def _frequencies(context: BuildContext) -> dict[str, np.ndarray]:
    """How often each token of each text stands in the rows."""
    return {
        column.key: np.bincount(encoded.values, minlength=column.vocabulary)
        for column, encoded in zip(context.train.columns, context.train.encoded, strict=True)
        if isinstance(column, TextColumn) and isinstance(encoded, Ragged)
    }


def _pruned(network: FittedNetwork, recipe: Recipe, context: BuildContext) -> FittedNetwork | Skip:
    found = _importance(network, context, (recipe.student, recipe.layers, recipe.embedding, None, None))
    return found if isinstance(found, Skip) else prune.by_share(network, found, recipe.heads, recipe.neurons)


def _to_latency(network: FittedNetwork, recipe: Recipe, context: BuildContext) -> FittedNetwork | Skip:
    assert recipe.to_latency
    if context.table is None:
        return Skip("only a network with one text encoder of several blocks has a latency table")
    parts = (recipe.student, recipe.layers, recipe.embedding, recipe.heads, recipe.neurons)
    found = _importance(network, context, parts)
    if isinstance(found, Skip):
        return found
    return prune.by_latency(network, found, context.table, recipe.to_latency)


def _importance(
    network: FittedNetwork, context: BuildContext, made_by: tuple[object, ...]
) -> tuple[prune.Measured, ...] | Skip:
    """What the units of a network matter, measured once for all recipes whose earlier steps made the same network."""
    if made_by not in context.importances:
        loss = prune.own_loss(network, context.targets)
        context.importances[made_by] = prune.importance(network, context.train, loss)
    return context.importances[made_by]


Step = Callable[[FittedNetwork, Recipe, BuildContext], FittedNetwork | Skip]
_STEPS: tuple[tuple[Callable[[Recipe], object], Step], ...] = (
    (lambda recipe: recipe.student, _student),
    (lambda recipe: recipe.layers and not recipe.student, _layers),
    (lambda recipe: recipe.embedding and not recipe.student, _narrow),
    (lambda recipe: (recipe.heads or recipe.neurons) and recipe.student != "smaller", _pruned),
    (lambda recipe: recipe.to_latency and not recipe.student, _to_latency),
)


def learns(recipe: Recipe) -> bool:
    """Whether a network of this recipe has to be distilled."""
    return bool(recipe.student) or recipe.aware or any(getattr(recipe, key) for key in _NAMED)


def training_plan(recipe: Recipe) -> TrainingPlan:
    """How the network of a recipe learns."""
    return COURSES[recipe.student or ("layers" if recipe.layers else "pruned")]


def planned_tokens(recipe: Recipe, minutes: float) -> float:
    """Steps of rows that the network of a recipe learns from in a search of so many minutes, over all epochs."""
    patience = _patience(recipe) if recipe.student else 1.0
    return training_plan(recipe).tokens * patience * minutes / _MINUTES


def affordable_tokens(
    recipe: Recipe, minutes: float, rate: float, seconds: float, share: float, most: float = 1.0
) -> float:
    """Steps of rows that a network learns from where a share of the seconds that are left is its own.

    `rate` is how many it learns from in a second. No more than `most` times what its plan says.
    """
    return min(most * planned_tokens(recipe, minutes), rate * share * max(0.0, seconds))


def tokens_per_second(recipe: Recipe, network: FittedNetwork, context: BuildContext) -> float:
    """About how many steps of rows a network learns from in a second, by a few forward and backward passes."""
    rows, kind = context.distillation.rows, devices.device()
    count = int(np.searchsorted(np.cumsum(rows.steps), training_plan(recipe).batch or context.settings.batch_tokens))
    picked = np.argsort(rows.steps, kind="stable")[len(rows) // 2 :][: max(1, count)]
    return _LOOP * distil.steps_per_second(network, rows, picked, kind, context.settings.precision)


def learnt(
    recipe: Recipe,
    network: FittedNetwork,
    context: BuildContext,
    folder: Path,
    progress: Progress,
    tokens: float | None = None,
) -> FittedNetwork:
    """The network that `shape` gave for a recipe, distilled where it has to be; checkpoints in `folder`.

    It learns from `tokens` steps of rows, over all epochs; default: as many as its plan says.
    """
    if not learns(recipe):
        return network
    plan = training_plan(recipe)
    budget = planned_tokens(recipe, context.minutes) if tokens is None else tokens
    data, epochs = _within_budget(context, plan, budget)
    settings = replace(
        context.settings,
        method="scratch",
        epochs=epochs,
        learning_rate=plan.rate,
        head_rate=plan.rate,
        batch_tokens=max(plan.batch or context.settings.batch_tokens, int(data.rows.steps.max(initial=1))),
        batch_rows=max(512, context.settings.batch_rows),
        ema_decay=plan.ema_decay,
        patience=1000,
        evaluations=max(1, round(4 / epochs)),
        schedule="linear",
    )
    return distil.distil(network, data, settings, folder, progress, recipe.sparsity, recipe.aware)


def _patience(recipe: Recipe) -> float:
    """Share of a plan's steps for a student that is larger than its kind: it sees fewer rows in more time."""
    size = students.KINDS[recipe.student].size if recipe.student in students.KINDS else None
    if size is None:
        return 1.0
    layers_, width = recipe.layers or size.layers, recipe.embedding or size.width
    return min(1.0, math.sqrt(size.layers * size.width**2 / (layers_ * width**2)))


def _within_budget(context: BuildContext, plan: TrainingPlan, budget: float) -> tuple[DistillationData, int]:
    """As many rows and epochs as the budget of steps allows: real rows first, of the varied ones some."""
    data = context.distillation
    steps = data.rows.steps
    real = len(context.train)
    if steps.sum() <= budget:
        return data, max(1, min(plan.most_epochs, round(budget / steps.sum())))
    within = int(np.searchsorted(np.cumsum(steps), budget / 2))  # twice seen is worth more than once more
    count = max(real, within) if steps[:real].sum() <= budget else max(1, 2 * within)
    picked = np.arange(count)
    part = replace(
        data,
        rows=data.rows.take(picked),
        soft_targets=taken(data.soft_targets, picked),
        teacher_vectors=None if data.teacher_vectors is None else data.teacher_vectors[:count],
    )
    return part, max(1, min(plan.most_epochs, round(budget / part.rows.steps.sum())))


_NAMED = ("layers", "embedding", "heads", "neurons", "to_latency", "sparsity")  # named with their values


def name(recipe: Recipe) -> str:
    """What a candidate is called: `layers-3-neurons-0.5+int8`."""
    parts: list[str] = [recipe.student] if recipe.student else []
    values = {key: value for key in _NAMED if (value := getattr(recipe, key))}
    parts += [f"{key}-{value if isinstance(value, int) else f'{value:.3g}'}" for key, value in values.items()]
    parts += ["aware"] if recipe.aware else []
    if isinstance(recipe.vocabulary, int):
        parts.append(f"tokens-{recipe.vocabulary}")
    whole = "-".join(parts) or "trimmed"
    if recipe.quantize and recipe.quantize != "none":
        whole += f"+{recipe.quantize}"
    return f"cascade-{whole}" if recipe.cascade else whole
