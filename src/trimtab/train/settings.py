"""The settings of one training run: what the spec says, and for the rest a choice with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch

from trimtab import columns, metrics
from trimtab.columns import OutputColumn
from trimtab.errors import problem
from trimtab.pretrained import Base, Held
from trimtab.spec import Choice, Lora, Part, Spec
from trimtab.train.execution import BF16_WEIGHTS

T = TypeVar("T")
Kind = Literal["pretrained", "table", "pictures", "sequences"]


@dataclass(frozen=True)
class _Recipe:
    """How long a network learns that starts from nothing."""

    steps: int  # optimizer steps that are aimed at
    fewest: int  # epochs
    most: int
    patience: int  # evaluations without a better score
    rows: str  # what a row is, in words
    ema_decay: float = 0.0  # decay per step of the running average of the weights
    label_smoothing: float = 0.0  # of a label, or of each token
    large_products: bool = False  # products that bf16 may quicken, though the network is small: a vocabulary's logits


_RECIPES = {
    # 20 epochs of MovieLens-100k, of which the last ones, at low rates, are best
    "histories": _Recipe(3000, 3, 60, 8, "histories to learn from"),
    # adult was best after 700 steps, mammography after 1100
    "table": _Recipe(1000, 6, 20, 5, "rows of a table"),
    # 53 epochs of 4,500 digits: the last, small steps are worth most
    "pictures": _Recipe(7500, 10, 60, 20, "pictures, read from scratch", ema_decay=0.998, label_smoothing=0.1),
    # 60 epochs of 4,000 digits; averaged weights draw what single steps blur
    "drawings": _Recipe(4000, 10, 100, 20, "rows, for pictures that are drawn", ema_decay=0.998),
    # 40 epochs of 360 spoken digits, 8 of 4,900 questions
    "sequences": _Recipe(2500, 5, 40, 10, "rows, read from scratch"),
    # 15 epochs of 1,800 blocks of 512 letters
    "rows": _Recipe(1_700, 3, 60, 5, "rows that are learnt to be written"),
    # 20 epochs of 29,000 pairs of sentences
    "texts": _Recipe(
        18_000, 5, 60, 10, "texts to learn to write", ema_decay=0.999, label_smoothing=0.1, large_products=True
    ),
}
_PATIENCE = 2  # of a pretrained network: it learns in few epochs
_SCRATCH_PATIENCE = 5
_DEEP_TOKENS = 450_000  # read over all epochs by an encoder some of whose blocks stay: six minutes or so


@dataclass(frozen=True)
class Settings:
    """Everything that decides what is learnt; all automatic choices made."""

    method: str  # which weights learn: full, lora, frozen or scratch
    training_method: Part | None  # None: the answers of the rows are learnt
    frozen_blocks: int
    epochs: int
    learning_rate: float
    head_rate: float
    optimizer: str
    momentum: float
    weight_decay: float
    warmup: float
    schedule: str
    layer_decay: float
    batch_tokens: int
    batch_rows: int
    accumulate: int
    clip_norm: float
    dropout: float
    drop_inputs: float
    label_smoothing: float
    class_weights: str
    sampling: str
    ema_decay: float
    patience: int
    evaluations: int
    precision: str
    precisions: tuple[str, ...]  # those that the first steps choose among; none where it is settled
    attention: str  # auto, fused or plain
    threads: int | None  # None: the first steps choose
    lora: Lora
    seed: int
    score: str
    checkpoint_seconds: float
    synchronise: int = 1  # steps after which processes that train together average their weights
    shard: bool = False  # whether each of them holds a part of the weights
    gradient_checkpointing: bool = False


def choose(
    spec: Spec,
    output: OutputColumn,
    base: Base | None,
    rows: int,
    steps: np.ndarray,
    counts: np.ndarray | None,
    device: torch.device,
    kind: Kind = "pretrained",
    weights: str | None = None,
    suggested: Mapping[str, Choice] | None = None,
) -> tuple[Settings, dict[str, Choice]]:
    """Fill in what the spec leaves open.

    `steps` (rows,) are the training rows' lengths; `counts` (classes,) how often each label occurs, None for other
    outputs; `kind` what the inputs are: some read by a pretrained encoder, a table, or pictures or sequences that are
    read from scratch; `weights` those that the training method changes, where that is no choice, and `suggested` what
    else it takes where the spec leaves it open. Returns the settings and, by spec key, the choices with their reasons.
    Raises TrimtabError for a sampling that does not fit the output.
    """
    train = spec.train
    _check_together(spec, output)
    made: dict[str, Choice] = {}

    def take(key: str, given: T | None, choice: Choice) -> T:
        if given is not None:
            return given
        choice = (suggested or {}).get(key, choice)
        made[f"train.{key}"] = choice
        chosen: T = choice.value
        return chosen

    by_name = train.training_method
    by_default = "scratch" if base is None else "full"  # what a training method changes
    known = weights or train.weights or (by_default if by_name else None)
    method = take("method", known, _method(base, rows, device))
    recipe = None if base and base.tuning.epochs else _recipe(output, kind, method)
    if train.lora.bits and method != "lora":
        found = f"{train.lora.bits}, but all weights that learn do so in fp32 (train.method: {method})"
        raise problem("train.lora.bits", found, "train.method: lora, or leave it out")
    if train.lora.bits and train.shard:
        found = f"{train.lora.bits}, but with train.shard all weights are in fp32"
        raise problem("train.lora.bits", found, do="leave one of them out")
    precision = train.precision
    large = method != "scratch" or kind == "pictures" or (recipe is not None and recipe.large_products)
    if chosen := _precision(train.precision, device, large):
        made["train.precision"] = chosen
        precision = chosen.value
    weights = train.class_weights
    if weights == "auto":
        made["train.class_weights"] = _class_weights(counts, train.sampling)
        weights = made["train.class_weights"].value
    made["checkpoint"] = _score(spec, output, base, method, "balanced" in (weights, train.sampling))
    batch_rows = max(_batch_rows(rows, device, kind), output.rows_together)
    learning_rate = take("learning_rate", train.learning_rate, _learning_rate(base, method))
    frozen_blocks = take("frozen_blocks", train.frozen_blocks, _frozen_blocks(base, method, device))
    epochs = _epochs(rows, base, method)
    if recipe:
        wanted = int(np.clip(round(recipe.steps * batch_rows / max(1, rows)), recipe.fewest, recipe.most))
        epochs = Choice(wanted, f"{rows} {recipe.rows}; the best evaluation on the validation rows is kept")
    elif frozen_blocks:
        epochs = _fewer_epochs(epochs, steps)
    # bf16 is quicker on a CPU that multiplies it, but not for all shapes: measured
    opens = train.precision == "auto" and device.type == "cpu" and precision == "bf16"
    opens = opens and not (base and _held_rounded(base, method, precision, train.lora, train.shard))
    settings = Settings(
        method=method,
        training_method=by_name,
        frozen_blocks=frozen_blocks,
        epochs=take("epochs", train.epochs, epochs),
        learning_rate=learning_rate,
        head_rate=max(learning_rate, 1e-3) if method != "full" else max(learning_rate, min(1e-3, 10 * learning_rate)),
        batch_tokens=take("batch_tokens", train.batch_tokens, _batch_tokens(batch_rows, steps)),
        batch_rows=4 * batch_rows,
        precision=precision,
        precisions=("bf16", BF16_WEIGHTS, "fp32") if opens else (),
        class_weights=weights,
        seed=spec.seed,
        score=made["checkpoint"].value,
        ema_decay=take("ema_decay", train.ema_decay, _ema_decay(recipe)),
        label_smoothing=take("label_smoothing", train.label_smoothing, _smoothing(recipe, output)),
        patience=take("patience", train.patience, _patience(recipe, base, method)),
        **train.model_dump(
            include={
                "optimizer", "momentum", "weight_decay", "warmup", "schedule", "layer_decay", "accumulate", "clip_norm",
                "dropout", "drop_inputs", "evaluations", "checkpoint_seconds",
                "sampling", "attention", "threads", "synchronise", "shard", "gradient_checkpointing",
            }
        ),
        lora=train.lora,
    )  # fmt: skip
    return settings, made


def _method(base: Base | None, rows: int, device: torch.device) -> Choice:
    if base is None:
        return Choice("scratch", "no input has a pretrained encoder")
    if base.tuning.method:
        return Choice(*base.tuning.method)
    few, row = base.tuning.frozen_below.get(device.type, 0), base.tuning.row
    if rows < few:
        return Choice("frozen", f"{rows} {row}, fewer than {few}: only the head learns, on features computed once")
    return Choice("full", "all weights learn: the most accurate method, and the base is small enough")


def held(base: Base, settings: Settings, device: torch.device) -> Held:
    """Where the weights of a base are read to, and in which numbers: in those of the steps, where they never learn."""
    place = str(device) if base.large or settings.lora.bits else "cpu"
    if not _held_rounded(base, settings.method, settings.precision, settings.lora, settings.shard):
        return Held(place)
    dtype = "float16" if settings.precision == "fp16" else "bfloat16"
    return Held(place, dtype, settings.lora.bits)


def _held_rounded(base: Base, method: str, precision: str, lora: Lora, shard: bool) -> bool:
    """Whether a base is held in fewer bits than 32; weights that several processes share out are all of one kind."""
    return method == "lora" and not shard and (bool(lora.bits) or (base.large and precision != "fp32"))


def _frozen_blocks(base: Base | None, method: str, device: torch.device) -> Choice:
    if base and base.tuning.stays and method == "full" and device.type == "cpu":
        return Choice(*base.tuning.stays)
    return Choice(0, "all blocks learn")


def _precision(asked: str, device: torch.device, large: bool) -> Choice | None:
    """What is computed in where the spec leaves it open, or this device has no such numbers; None as it was asked.

    `large` says that the network has products large enough for bf16 to be quicker on a CPU.
    """
    if asked == "fp16" and device.type == "cpu":
        return Choice("fp32", "fp16 was asked, which needs a GPU: this CPU trains in fp32, or in bf16 if that is asked")
    if asked != "auto":
        return None
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return Choice("bf16", "this GPU computes bf16 natively")
    if device.type == "cuda":
        return Choice("fp16", "this GPU has no bf16")
    if device.type == "cpu" and large and native_bf16():
        return Choice("bf16", "this CPU multiplies bf16 natively; weights and sums stay in fp32")
    return Choice("fp32", "bf16 would not be faster on this device")


def native_bf16() -> bool:
    """Whether this CPU has instructions for bf16 matrix products (AVX-512 BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _check_together(spec: Spec, output: OutputColumn) -> None:
    if spec.train.class_weights == "balanced" and not output.one_class:
        found = f"balanced, but the output {output.name!r} has no classes to weigh (type {columns.word(output.type)})"
        raise problem("train.class_weights", found, "none; or a label as output")
    if spec.train.shard and spec.train.synchronise > 1:
        found = f"{spec.train.synchronise}, but with train.shard no process has a whole network to go on alone with"
        raise problem("train.synchronise", found, "1", "leave one of them out")
    if spec.train.sampling != "balanced":
        return
    if not output.one_class:
        found = f"balanced, but the output {output.name!r} has no classes to balance (type {columns.word(output.type)})"
        raise problem("train.sampling", found, "none; or a label as output")
    if spec.train.class_weights == "balanced":
        found = "balanced, and so is train.class_weights: rare classes would be weighed up twice"
        raise problem("train.sampling", found, do="leave one of them out")


def _class_weights(counts: np.ndarray | None, sampling: str) -> Choice:
    if counts is None:
        return Choice("none", "the output is no label")
    if sampling == "balanced":
        return Choice("none", "train.sampling draws all classes equally often")
    known = counts[counts > 0]  # a class may be listed that no training row has
    share = float(known.min() / known.sum()) * len(known)
    if share < 0.1:
        return Choice("balanced", f"the rarest class has {share:.0%} of an even share")
    return Choice("none", f"the rarest class has {share:.0%} of an even share")


def _recipe(output: OutputColumn, kind: Kind, method: str) -> _Recipe | None:
    """How long a network from scratch learns; None for one that starts from pretrained weights, or from their shape."""
    if output.recipe:
        return _RECIPES[output.recipe]
    return _RECIPES.get(kind) if method == "scratch" else None


def _batch_rows(rows: int, device: torch.device, kind: Kind) -> int:
    """Rows that an average batch should hold. A step costs as much for 256 rows of a table as for 32."""
    if kind == "table":
        return 32 if rows < 4000 else 128 if rows < 20_000 else 256
    if device.type == "cuda":
        return 64 if rows > 4000 else 32
    return max(32 if kind == "pictures" else 16, 16 if rows < 20_000 else 32 if rows < 100_000 else 64)


def _batch_tokens(batch_rows: int, steps: np.ndarray) -> Choice:
    typical = float(np.mean(steps)) if len(steps) else 1.0
    tokens = max(int(np.ceil(batch_rows * typical / 8) * 8), int(steps.max(initial=1)))
    return Choice(tokens, f"about {batch_rows} rows of the average length, {typical:.0f} steps")


def _learning_rate(base: Base | None, method: str) -> Choice:
    if method == "frozen" and base and base.tuning.head_rate:
        return Choice(*base.tuning.head_rate)
    if method == "frozen":
        return Choice(1e-3, "only the head learns")
    if method == "lora":
        return Choice(5e-4, "low-rank updates stand a higher rate than the weights themselves")
    if base is None:
        return Choice(2e-3, "a small network without a pretrained base")
    if method == "scratch":
        return Choice(3e-4, "weights start at random")
    if base.tuning.rate:
        return Choice(*base.tuning.rate)
    if base.width <= 384:
        return Choice(1.5e-4, f"a small pretrained encoder (width {base.width})")
    return Choice(3e-5 if base.width <= 768 else 1e-5, f"a pretrained encoder of width {base.width}")


def _epochs(rows: int, base: Base | None, method: str) -> Choice:
    if base and base.tuning.epochs and method != "scratch":
        return Choice(*base.tuning.epochs)
    updates = {"full": 650, "lora": 700, "frozen": 1500, "scratch": 2500}[method]
    most = 3 if method == "full" else 10 if method == "lora" else 40
    batches = max(1, rows // 32)
    epochs = int(np.clip(round(updates / batches), 2, most if rows >= 2000 else most * 3))
    return Choice(epochs, f"{rows} training rows; the best evaluation on the validation rows is kept")


def _fewer_epochs(epochs: Choice, steps: np.ndarray) -> Choice:
    """No more than minutes allow for a deep encoder on a CPU: some 700 tokens a second on each of two cores."""
    most = max(1, round(_DEEP_TOKENS / max(1, int(steps.sum()))))
    if int(str(epochs.value)) <= most:
        return epochs
    return Choice(most, f"{len(steps)} training rows of {float(np.mean(steps)):.0f} tokens: minutes on a CPU")


def _ema_decay(recipe: _Recipe | None) -> Choice:
    if recipe and recipe.ema_decay:
        return Choice(recipe.ema_decay, f"{recipe.rows}: the averaged weights generalise better")
    return Choice(0.0, "off: it gained nothing for a network of this kind")


def _smoothing(recipe: _Recipe | None, output: OutputColumn) -> Choice:
    if recipe and recipe.label_smoothing and (output.one_class or output.recipe):
        return Choice(recipe.label_smoothing, f"{recipe.rows}: a network that is less sure generalises better")
    return Choice(0.0, "off: it gained nothing for a network of this kind")


def _patience(recipe: _Recipe | None, base: Base | None, method: str) -> Choice:
    if recipe:
        return Choice(recipe.patience, "what starts from nothing gets better late, at small rates")
    if method == "frozen" and base and base.tuning.head_patience:
        return Choice(*base.tuning.head_patience)
    if method == "scratch":
        return Choice(_SCRATCH_PATIENCE, "weights start at random")
    return Choice(_PATIENCE, "a pretrained network learns in few epochs")


def _score(spec: Spec, output: OutputColumn, base: Base | None, method: str, rebalanced: bool) -> Choice:
    """The validation metric that chooses the checkpoint, whatever the order of the gates.

    A gate on one that is best by poor answers (a calibration error is lowest before anything is learnt, a recall where
    that class is answered always) says nothing here.
    """
    if output.chooses:
        return Choice(output.chooses, f"cheap to measure, unlike {output.headline}, which takes whole answers")
    families = [metrics.parsed(name).family for name in output.metrics]
    fit = [name for name in spec.gates if not metrics.parsed(name).part and metrics.parsed(name).family in families]
    asked = sorted(
        (name for name in fit if metrics.named(name).selects),
        key=lambda name: (families.index(metrics.parsed(name).family), name),
    )
    if asked and output.headline not in asked:
        return Choice(asked[0], "a gate asks for it")
    if method == "frozen" and base and base.tuning.head_wavers and output.tie_break:
        return Choice(output.tie_break, base.tuning.head_wavers.format(headline=output.headline))
    if asked:
        return Choice(output.headline, "a gate asks for it")
    if rebalanced and "macro_f1" in output.metrics:
        return Choice("macro_f1", "the classes are balanced: each of them counts the same")
    return Choice(output.headline, f"what is told first of a {columns.word(output.type)} output")
