"""The Spec: the whole of `trimtab.yaml`, frozen; the field descriptions are its documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_serializer, field_validator, model_validator


class Choice(NamedTuple):
    """An automatic choice: the value and why it was taken. The manifest keeps both."""

    value: Any
    reason: str


# What may be said of the weights alone: they learn the answers of the rows.
WEIGHTS = ("full", "lora", "frozen", "scratch")
# Keys that were once called otherwise: the path of the former one -> its name now. They are still read, and told.
FORMER_KEYS: dict[tuple[str, ...], str] = {("train", "average"): "ema_decay", ("quote_rows",): "quotes"}
_QUOTES = {True: "rows", False: "none"}  # what `quote_rows` said


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Clean(_Part):
    """What happens to rows and cells that would hurt training. Fitted on training rows, stored for serving."""

    missing: Literal["impute", "mean", "median", "mode", "constant", "category", "drop"] = Field(
        "impute",
        description="Cells without a value. `impute`: the median for a number, a category of its own for a "
        "category. `drop`: training rows with a missing input are left out (a served row is still imputed).",
    )
    fill: float | str | None = Field(None, description="The value that `missing: constant` puts in.")
    outliers: Literal["keep", "clip", "iqr", "drop"] = Field(
        "clip",
        description="Numbers far outside. `clip`: to the 0.1% and 99.9% quantiles of the training rows. `iqr`: to 3 "
        "interquartile ranges beyond the quartiles. `drop`: training rows outside those fences are left out.",
    )
    duplicates: Literal["drop", "keep"] = Field(
        "drop",
        description="Rows whose inputs are equal but for case and white space. `drop` keeps the first; where such "
        "rows disagree on the output, the most frequent answer is kept, and all of them are set aside on a tie.",
    )


class Split(_Part):
    """How rows are shared out where no file or column says it; a strategy's options stand beside the shares."""

    model_config = ConfigDict(frozen=True, extra="allow")
    by: str = Field(
        "stratified",
        description="`stratified`: by content hash, every class in every split. `hash`: by content hash alone. "
        "`group`: all rows of a group in one split (`group: customer`). `time`: the latest rows are tested on (`time: "
        "date`). `position`: the last rows are tested on, as they stand in the files; the default for `blocks`.",
    )
    train: float | None = Field(None, gt=0, lt=1, description="Share of rows that are learnt from. Default: the rest.")
    valid: float = Field(0.1, gt=0, lt=1, description="Share of rows that choose the best checkpoint.")
    test: float = Field(0.1, gt=0, lt=1, description="Share of rows that the gates are measured on.")

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Split:
        if self.valid + self.test >= 0.9:
            raise ValueError("valid + test must leave more than a tenth of the rows for training")
        if self.train is not None and abs(self.train + self.valid + self.test - 1) > 1e-6:
            raise ValueError(f"train, valid ({self.valid:g}) and test ({self.test:g}) must add up to 1")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Every key that the strategy itself checks."""
        return dict(self.model_extra or {})


class Part(BaseModel):
    """A part of the network, or a training method, with options of its own: `{name: lstm, layers: 2}`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Every key but `name`; the part checks them."""
        return dict(self.model_extra or {})


class TrainingMethod(Part):
    """A training method with its options, and which weights it changes."""

    weights: Literal["full", "lora", "frozen", "scratch"] | None = None


class Prompting(_Part):
    """How a language model is asked: `prompt` of a spec."""

    template: str | None = Field(
        None,
        min_length=1,
        description="What it reads of a row, columns in braces: `Question: {question} Answer:`. Default: the names of "
        "the columns, a line for each, and that of the output.",
    )
    chat: bool | None = Field(
        None,
        description="Whether the template is what a user says in a conversation, in the words of the base's own "
        "template. Default: where its tokenizer has one.",
    )


class Lora(_Part):
    """Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685), used by `train.method: lora`."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the update of each adapted matrix.")
    alpha: int = Field(32, ge=1, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before the low-rank update.")
    dora: bool = Field(
        False,
        description="Whether the length of each row of the adapted matrices learns beside its direction (DoRA: Liu et "
        "al. 2024, arXiv:2402.09353).",
    )
    bits: Literal[4] | None = Field(
        None,
        description="4: the linear maps of a language model are held in 4 bits while the updates learn (QLoRA: "
        "Dettmers et al. 2023, arXiv:2305.14314). Needs a GPU and trimtab[bits]. Default: 16 bits where the steps "
        "compute in those, else 32.",
    )


class Train(_Part):
    """How the network learns. What is left out is chosen from the data; the manifest says what and why."""

    method: str | TrainingMethod | None = Field(
        None,
        description="The answers of the rows are learnt by all weights (`full`), by low-rank updates (`lora`), by the "
        "head alone (`frozen`), or by the base's shape with random weights (`scratch`). Or a training method of "
        "another kind with its options and the weights that learn: `contrastive` (pairs of rows, for few of them), "
        "`probe` (logistic regression on the encoder as it is), `prompt` (a language model is asked, with `examples` "
        "of the training rows, and learns nothing), one's own: `{name: mine, weights: lora}`. Default: full, of a "
        "language model lora; up to 64 labelled rows of text for each class, by cross-validation.",
    )
    frozen_blocks: int | None = Field(
        None,
        ge=0,
        description="Lowest blocks of a pretrained encoder of texts that stay as they are, with its word table, while "
        "the rest learns (`method: full`). Default: 0; 8 of the 12 of `e5-small` on a CPU.",
    )
    epochs: int | None = Field(None, ge=1, le=1000, description="Passes over the training rows. Default: by rows.")
    learning_rate: float | None = Field(None, gt=0, le=1, description="Peak rate. Default: by base and method.")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="Fused where the device has it.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of `sgd`.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled decay (not on biases and norms).")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps over which the rate climbs to its peak.")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="How the rate falls afterwards.")
    layer_decay: float = Field(
        0.9, gt=0, le=1, description="Each layer below the top learns at this share of the rate of the one above it."
    )
    batch_tokens: int | None = Field(
        None, ge=16, description="Steps (tokens) in one batch, padding included. Default: by rows and device."
    )
    accumulate: int = Field(1, ge=1, le=1024, description="Batches whose gradients are added up before a step.")
    clip_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout before the head.")
    drop_inputs: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the inputs of training rows that are left out, one at least staying: for rows that may "
        "lack one, such as a sound without its text.",
    )
    label_smoothing: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of each target spread over all classes. Default: 0; 0.1 for pictures from scratch.",
    )
    class_weights: Literal["auto", "none", "balanced"] = Field(
        "auto",
        description="`balanced` weighs rare classes up; `auto` does so below a tenth of an even share.",
    )
    sampling: Literal["none", "balanced"] = Field(
        "none",
        description="`balanced` draws the training rows of each epoch such that every class is equally frequent: rare "
        "ones come again, of frequent ones some are left out. In place of `class_weights`; label outputs only.",
    )
    ema_decay: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Decay per step of a running average of the weights, which is then kept; 0: off. Default: 0; 0.998 "
        "for pictures from scratch.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Evaluations without a better validation score before training stops. Default: 2 for a pretrained "
        "network, 5 to 20 for one from scratch.",
    )
    evaluations: int = Field(1, ge=1, le=100, description="Evaluations on the validation rows in each epoch.")
    precision: Literal["auto", "fp32", "bf16", "bf16_weights", "fp16"] = Field(
        "auto",
        description="What products are computed in; weights learn in fp32 in any case. `bf16_weights`: bf16, from "
        "copies of the weights, which spares rounding them anew in every step. `auto`: where a CPU multiplies bf16 "
        "natively what is quickest in the first steps; on a GPU bf16, or fp16 where it has none; else fp32.",
    )
    attention: Literal["auto", "fused", "plain"] = Field(
        "auto",
        description="`fused`: PyTorch's kernel. `plain`: batched products. `auto`: the quicker one in the first steps.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of a step on a CPU. Default: those that PyTorch takes, or fewer where that is quicker in "
        "the first steps, and where others keep the processor busy.",
    )
    checkpoint_seconds: float = Field(60.0, ge=0, description="Least time between two checkpoints inside an epoch.")
    synchronise: int = Field(
        1,
        ge=1,
        le=10_000,
        description="Steps after which the processes of a launch (`--processes`) meet. 1: in every step gradients are "
        "summed, as if one process trained. More: each goes on alone and their weights are averaged then (local SGD), "
        "which exchanges less and learns a little otherwise.",
    )
    shard: bool = Field(
        False,
        description="Whether each process of a launch holds a part of the weights, of their gradients and of what the "
        "optimizer remembers, rather than all of them (FSDP2): for networks that one device cannot hold.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Whether blocks of an encoder of texts compute their activations again for the gradients rather "
        "than hold them: less memory, about a third more time.",
    )
    lora: Lora = Lora()

    @model_validator(mode="before")
    @classmethod
    def _present_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {FORMER_KEYS.get(("train", key), key): value for key, value in values.items()}

    @property
    def training_method(self) -> Part | None:
        """The method that is asked for by its name; None where `method` says which weights learn, or nothing."""
        if self.method is None or self.method in WEIGHTS:
            return None
        return Part(name=self.method) if isinstance(self.method, str) else self.method

    @property
    def weights(self) -> str | None:
        """Which weights are to learn; None where that is left open."""
        if isinstance(self.method, TrainingMethod):
            return self.method.weights
        return self.method if self.method in WEIGHTS else None


class Fairness(_Part):
    """What is done so that groups of people are answered alike. See fairness.md."""

    mitigate: Literal["none", "reweighing", "thresholds"] = Field(
        "none",
        description="`reweighing`: training rows are weighed such that no class is more frequent in one group than in "
        "another (Kamiran and Calders 2012). `thresholds`: each group has a cut of its own between two classes (Hardt "
        "et al. 2016), chosen on the validation rows; a served row then says its group.",
    )
    by: tuple[str, ...] = Field((), description="Protected columns whose groups are meant. Default: all of them.")
    gap: Literal["equalized_odds", "demographic_parity", "equal_opportunity"] = Field(
        "equalized_odds", description="Of `thresholds`: the gap that is narrowed."
    )
    bound: float = Field(0.0, ge=0, lt=1, description="Of `thresholds`: a gap that is narrow enough.")
    cost: float = Field(
        0.01, ge=0, lt=1, description="Of `thresholds`: the most accuracy on the validation rows that is given up."
    )

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class Recipe(_Part):
    """One way to make the network smaller or faster: what a candidate of the search is made by, in this order."""

    student: Literal["static", "conv", "tiny", "smaller"] | None = Field(
        None,
        description="A new small network that learns from the uncompressed one. `static`: weighted token embeddings; "
        "`conv`: convolutions over them; `tiny`: narrow transformer layers; `smaller`: fewer channels or units of the "
        "same kind (images, sounds, histories, tables). Default: the network itself.",
    )
    layers: int | None = Field(None, ge=1, le=64, description="Transformer layers kept; or the layers of a student.")
    embedding: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Width of token vectors, behind which a linear map widens them again; or the width of a student.",
    )
    heads: float | None = Field(None, gt=0, le=1, description="Share of attention heads kept in each layer left.")
    neurons: float | None = Field(
        None, gt=0, le=1, description="Share of feed-forward neurons, or of convolution channels, kept."
    )
    to_latency: float | None = Field(
        None,
        gt=0,
        description="Milliseconds of one row in int8: heads and neurons that matter least for the time they take, by a "
        "latency table of this machine, are left out until it is predicted to take so long.",
    )
    sparsity: float | None = Field(
        None, gt=0, lt=1, description="Share of weights set to zero by magnitude, on a schedule. Makes nothing faster."
    )
    vocabulary: int | Literal["none"] | None = Field(
        None, description="Most tokens kept of a text's vocabulary. Default: those that the rows use; `none`: all."
    )
    quantize: Literal["none", "int8", "int8_static", "int8_blocks", "int8_int4", "int4", "fp16"] | None = Field(
        None,
        description="`int8`: weights in 8 bits, activations quantized at run time; `int8_static`: convolutions by "
        "ranges that training rows show; `int8_blocks`: in blocks, nearest to fp32; `int8_int4`: token "
        "vectors in 4 bits; `int4`: all weights in 4 bits; `fp16`: weights stored in 16 bits. Layers that it hurts "
        "stay in fp32.",
    )
    aware: bool = Field(
        False, description="Whether weights and activations are rounded while it learns, as they will be in int8."
    )
    cascade: bool = Field(
        False, description="Whether this network answers only where it is sure, and the uncompressed one the rest."
    )


class Compress(Recipe):
    """What is done to the trained network before it is released: one recipe, or a search among many."""

    minutes: float = Field(10.0, gt=0, le=10_000, description="Time for the search; the best so far is taken then.")
    unlabelled: tuple[str, ...] = Field(
        (), description="Files of more rows, without answers, for a student to learn from the uncompressed network."
    )
    pick: str | None = Field(None, description="The candidate to release, by its name on the card, whatever it costs.")

    @field_validator("unlabelled", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def recipe(self) -> Recipe | None:
        """The one recipe that was asked for; None to search."""
        chosen = {key: getattr(self, key) for key in Recipe.model_fields}
        return Recipe(**chosen) if Recipe(**chosen) != Recipe() else None


Objective = Literal["quality", "latency", "size", "throughput"]


class Search(_Part):
    """Hyper-parameter search: before the launch, trials with other values of some keys. See search.md."""

    trials: int | None = Field(
        None, ge=1, le=100_000, description="Most trials, the first with the spec as it is. Default: by `minutes`."
    )
    minutes: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="Time for all trials; the first one always ends. Default: 10 where `trials` is left out.",
    )
    space: dict[str, Any] = Field(
        default_factory=dict,
        description="Key -> its values: `[low, high]`, `[low, high, log]`, a list of values, or a mapping with `low`, "
        "`high`, `log`, `relative`, `when`, or `values`, `when`. Keys of `train`, `base`, `fusion`, "
        "`inputs.COLUMN.OPTION`; `inputs.*.OPTION` means all columns that have it. Default: by what is trained.",
    )
    objectives: tuple[Objective, ...] = Field(
        ("quality",),
        description="`quality`: the score of the validation rows. With `latency`, `size` or `throughput` beside it, "
        "each trial is exported and measured, nothing is stopped early, and the frontier is told.",
    )
    rows: int | None = Field(
        None,
        ge=50,
        description="Training rows of each trial, taken evenly; the best is launched with all. Default: all.",
    )
    pick: int | None = Field(
        None,
        ge=0,
        description="The trial to launch, by its number. Default: the best one; with costs as objectives the "
        "best whose costs meet the gates.",
    )
    storage: str | None = Field(
        None,
        pattern=r"^postgresql://\S+$",
        description="Where trials are kept that several machines share: `postgresql://user:password@host/database`. "
        "Default: a file of SQLite in the run's folder.",
    )

    @field_validator("objectives", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("objectives")
    @classmethod
    def _with_quality(cls, value: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if "quality" not in value or len(set(value)) < len(value):
            raise ValueError("quality is needed, and each objective once")
        return ("quality", *(one for one in value if one != "quality"))

    @field_serializer("storage", when_used="json")
    def _without_password(self, value: str | None) -> str | None:
        """What is written into a bundle tells no secret."""
        return value and re.sub(r"//[^@/]*@|\?.*", lambda found: "//" if found[0].startswith("//") else "", value)

    @property
    def seconds(self) -> float | None:
        """Time for all trials; None where their number alone ends the search."""
        minutes = _SEARCH_MINUTES if self.minutes is None and self.trials is None else self.minutes
        return None if minutes is None else minutes * 60


_SEARCH_MINUTES = 10.0


class Typed(BaseModel):
    """A column's type with options of its own: `{type: text, max_tokens: 128}`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: str
    encoder: str | Part | None = None  # of an input: the part of the network that reads it
    base: str | None = None  # of an input: the pretrained model, where it is not the spec's own
    augment: Literal["auto", "none"] | dict[str, Any] = "auto"  # of an input: how training rows are varied

    @property
    def options(self) -> dict[str, Any]:
        """Every key that the column type itself checks."""
        return dict(self.model_extra or {})

    @property
    def encoder_part(self) -> Part | None:
        """The encoder that the user asked for, with its options."""
        return Part(name=self.encoder) if isinstance(self.encoder, str) else self.encoder


ColumnType = str | Typed


_RATE = r"^\s*\d+(\.\d+)?\s*((rows)?/s)?\s*$"  # how a load may be written, beside a plain number


class Cost(_Part):
    """What a machine like the one that measures costs, for the price of answers. See cost.md."""

    machine_per_hour: float = Field(gt=0, description="What such a machine costs in an hour.")
    currency: str = Field("USD", pattern=r"^\S{1,5}$", description="In which currency; gates on `price` mean it too.")
    load: float | None = Field(
        None,
        gt=0,
        description="Rows to be answered in a second, such as `50 rows/s`: how many machines that takes.",
        json_schema_extra={"anyOf": [{"type": "number"}, {"type": "string", "pattern": _RATE}, {"type": "null"}]},
    )
    utilisation: float = Field(
        0.7, gt=0, le=1, description="Share of the measured throughput that is planned with; the rest is for peaks."
    )
    watts_per_core: float = Field(
        10.0, gt=0, description="Assumed power of a busy core, for the estimate of energy. Not measured."
    )

    @field_validator("load", mode="before")
    @classmethod
    def _rows_in_a_second(cls, value: Any) -> Any:
        return re.sub(r"\s*(rows)?/s\s*$", "", value) if isinstance(value, str) else value


class AnswerRule(NamedTuple):
    """When an answer is given: from a confidence on, or from the one that reaches an accuracy."""

    by: str
    least: float

    @classmethod
    def read(cls, text: str) -> AnswerRule | None:
        """What `when confidence >= 0.8` says; None where it is not written so."""
        found = re.fullmatch(r"\s*(?:when\s+)?(confidence|accuracy)\s*>=\s*(\d*\.?\d+)\s*(%?)\s*", text)
        if not found:
            return None
        by, number, percent = found.groups()
        least = float(number) / (100 if percent else 1)
        return cls(by, least) if least <= 1 else None


class Spec(_Part):
    """The whole of `trimtab.yaml`. Three keys are enough: data, output, gates."""

    data: tuple[str, ...] = Field(
        description="csv, tsv, json lines or parquet, plain or gzipped; one file, a list, or a pattern such as "
        "`shards/*.parquet`; or a folder with a folder of images or sounds for each class. Relative to the spec file. "
        "`hf:owner/name:configuration@split`: a data set, or a folder of one, that `datasets` streams (trimtab[hf])."
    )
    test: str | None = Field(None, description="A file of rows to measure the gates on; else some of `data`.")
    encoding: str | None = Field(
        None,
        description="Of the data's text, such as shift_jis, cp1251 or utf-16. Default: UTF-8, and what is none is told "
        "by its look. New rows that are not UTF-8 are read as these were.",
    )
    blocks: int | None = Field(
        None,
        ge=8,
        description="The files of `data` are one long text each, cut into rows of so many characters, in order, in a "
        "column `text`: to learn a text by itself. Default: they are tables.",
    )
    unlabelled: tuple[str, ...] = Field(
        (),
        description="Files of more rows, without answers: what few labelled rows say is carried over to them, students "
        "learn from the uncompressed network's answers to them, and those to label next are named.",
    )
    inputs: dict[str, ColumnType] | None = Field(
        None, description="Column -> type. Default: every column but the output, typed by looking at its values."
    )
    output: str | dict[str, ColumnType] = Field(
        description="The column to predict, or {column: type}: label, number, labels, numbers, ordinal, tags, "
        "ranking, text."
    )
    name: str | None = Field(
        None,
        pattern=r"^\w[\w.-]*$",
        description="Name of the run's folder in runs/. Default: the spec file's name; the data file's where that is "
        "`trimtab.yaml`, or the spec is given as values.",
    )
    description: str | None = Field(
        None, min_length=1, description="What the bundle is, in words of one's own: at the top of its card."
    )
    intended_use: str | None = Field(
        None, min_length=1, description="What the answers are meant for, and what not: at the top of the card."
    )
    license: str | None = Field(
        None,
        min_length=1,
        description="Of the bundle, for the metadata of `card.md`: `cc-by-4.0` and the like. Default: none is said.",
    )
    language: Literal["en", "zh"] = Field(
        "en", description="Of the card's own words: English or Chinese. Of the data: see `base`."
    )
    split: str | Split = Field(
        Split(), description="A column that holds train, valid (or dev) and test; or shares, and how rows are cut."
    )
    keep: tuple[str, ...] = Field(
        (),
        description="Columns that stay beside the rows (ids, groups, times) for what is measured of them; the network "
        "never reads one that is not named in `inputs` too.",
    )
    protected: tuple[str, ...] = Field(
        (),
        description="Columns that say which group a person is of, such as gender: how each group is answered is "
        "measured, alone and crossed. They may be inputs; `keep` holds one out of them. See fairness.md.",
    )
    fairness: Fairness = Field(
        Fairness(), description="What is done so that the groups of `protected` columns are answered alike."
    )
    behaviour: tuple[str, ...] = Field(
        (),
        description="Files of tests of one's own: what must be answered, must be answered alike, must become surer; "
        "`behaviour.<test>` can be a gate. See own-tests.md.",
    )
    foreign: tuple[str, ...] = Field(
        (),
        description="Files of rows of another kind than those of training, inputs alone: how well the network's scores "
        "tell them from the test rows is measured, `ood.auroc`. Default: such rows are made up. See confidence.md.",
    )
    weight: str | None = Field(
        None,
        min_length=1,
        description="A column of numbers, 0 and above: how much each row counts, in the training loss and in metrics.",
    )
    base: str | None = Field(
        None,
        description="The pretrained encoder: `minilm` (English text), `e5-small` (text in 100 languages), "
        "`efficientnet-lite0` (images), `smollm2` (a language model), a local folder, or a Hugging Face id. An input "
        "can have its own: `{type: image, base: ./resnet}`. Default for text: by its language.",
    )
    prompt: Prompting = Field(
        Prompting(),
        description="How a language model is asked (`base: smollm2`, or another one): a text with columns in braces, "
        "or `template` and `chat`. See language-models.md.",
    )
    fusion: str | Part | None = Field(
        None,
        description="How states become one vector per row: mean, cls, last, attention, concat, wide_deep, deepfm, dcn, "
        "ft_transformer, with options such as `{name: deepfm, hidden: [64, 64]}`. Default: mean; of a language model "
        "last; for several numbers and categories deepfm.",
    )
    clean: Clean = Clean()
    train: Train = Train()
    search: Search | None = Field(
        None,
        description="Hyper-parameter search before the launch: `{minutes: 10}` tries values of a space that fits what "
        "is trained. Default: none. See search.md.",
    )
    compress: Literal["auto", "none"] | Compress = Field(
        "auto",
        description="`auto`: a search when a size, latency, throughput or memory gate is missed without it. `none`: as "
        "trained. Keys: one recipe; or, with `minutes` alone, a search.",
    )
    gates: dict[str, str] = Field(
        default_factory=dict, description='Metric -> "operator bound unit"; all must hold for a release.'
    )
    cost: Cost | None = Field(
        None,
        description="What a machine costs: the audit then tells the price of a million answers, for gates such as "
        '`price: "<= 2"`, the machines for a load, and an estimate of energy. See cost.md.',
    )
    track: tuple[str | Part, ...] = Field(
        (),
        description="Trackers that a launch tells of its training and its bundle: `tensorboard`, `mlflow`, `wandb`, or "
        "one with options, `{name: mlflow, uri: ...}`. Nothing leaves the machine unless these say where to. See "
        "tracking.md.",
    )
    confidence: float | None = Field(
        None,
        ge=0.5,
        lt=1,
        description="A gate passes only where the whole interval of this confidence (0.95) meets it; what has no "
        "interval, such as a size, passes by its value. Default: the value alone decides, and doubt is told.",
    )
    coverage: float | None = Field(
        None,
        ge=0.5,
        lt=1,
        description="Promised share of rows (0.95) whose answer set, of a number its interval, holds the right answer: "
        "each answer has one beside it, `<output>_set`, or `<output>_low` and `<output>_high`. Default: none is "
        "answered; the card says what sets of 0.95 would be. See confidence.md.",
    )
    answers: str | None = Field(
        None,
        description="When an answer is given: `when confidence >= 0.8`, or `when accuracy >= 0.95`, for which the "
        "confidence is chosen on the validation rows. Others are withheld: empty, and `abstained` says so. Default: "
        "every row is answered. See confidence.md.",
    )
    quotes: Literal["rows", "none"] = Field(
        "rows",
        description="What the bundle may quote of the data. `rows`: golden rows, the hardest mistakes, examples of "
        "what was told. `none`: no row; golden rows are made up. See privacy-of-bundles.md.",
    )
    seed: int = Field(7, ge=0, lt=2**31, description="Seeds every random choice.")
    _notes: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="before")
    @classmethod
    def _present_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "quote_rows" not in values or "quotes" in values:
            return values
        said = values["quote_rows"]
        quotes = _QUOTES[said] if isinstance(said, bool) else said
        return {**{key: value for key, value in values.items() if key != "quote_rows"}, "quotes": quotes}

    @field_validator("data", "keep", "protected", "behaviour", "foreign", "unlabelled", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("track", mode="before")
    @classmethod
    def _one_tracker(cls, value: Any) -> Any:
        return (value,) if isinstance(value, (str, Mapping)) else value

    @field_validator("prompt", mode="before")
    @classmethod
    def _template_alone(cls, value: Any) -> Any:
        return {"template": value} if isinstance(value, str) else value

    @field_validator("data")
    @classmethod
    def _at_least_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(value):
            raise ValueError("at least one file is needed")
        return value

    @field_validator("output")
    @classmethod
    def _one_output(cls, value: str | dict[str, ColumnType]) -> str | dict[str, ColumnType]:
        if isinstance(value, dict) and len(value) != 1:
            raise ValueError(f"one output is needed, found {len(value)}")
        return value

    @field_validator("gates", mode="before")
    @classmethod
    def _bounds_are_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: bound if isinstance(bound, str) else str(bound) for key, bound in value.items()}

    @field_validator("answers")
    @classmethod
    def _a_rule(cls, value: str | None) -> str | None:
        if value is not None and AnswerRule.read(value) is None:
            raise ValueError(
                '"when confidence >= 0.8" or "when accuracy >= 0.95" is needed, a share from 0 to 1 or in %'
            )
        return value

    @property
    def answer_rule(self) -> AnswerRule | None:
        """When an answer is given, where the spec says so."""
        return None if self.answers is None else AnswerRule.read(self.answers)

    @property
    def quote_rows(self) -> bool:
        """Whether the bundle may quote rows of the data."""
        return self.quotes == "rows"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be told of how it was written: keys that have another name now."""
        return self._notes

    @property
    def output_name(self) -> str:
        """The column to predict."""
        return self.output if isinstance(self.output, str) else next(iter(self.output))

    @property
    def output_type(self) -> Typed | None:
        """The output's type, where the user gave one."""
        return None if isinstance(self.output, str) else typed(self.output[self.output_name])

    @property
    def mitigated_by(self) -> tuple[str, ...]:
        """The columns whose groups are to be answered alike."""
        return self.fairness.by or self.protected

    @property
    def run_name(self) -> str:
        """The folder of this spec's run inside `runs/`."""
        return self.name or folder_name(Path(self.data[0]).name.split(".")[0]) or "run"


def folder_name(text: str) -> str:
    """A text as the name of a run's folder; empty where nothing of it can stand there."""
    return re.sub(r"[^\w.-]+", "-", text).lstrip(".-")


def typed(value: ColumnType) -> Typed:
    """Both spellings of a column type, `text` and `{type: text, ...}`, as one."""
    return Typed(type=value) if isinstance(value, str) else value
