"""The Spec: the whole of `trimtab.yaml`, frozen, every key checked before any work begins."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trimtab.errors import TrimtabError, nearest, problem, several


class Choice(NamedTuple):
    """An automatic choice: the value and why it was taken. The manifest keeps both."""

    value: Any
    reason: str


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


class Fractions(_Part):
    """How rows are shared out when neither a file nor a column says it."""

    valid: float = Field(0.1, gt=0, lt=1, description="Share of rows that choose the best checkpoint.")
    test: float = Field(0.1, gt=0, lt=1, description="Share of rows that the gates are measured on.")

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Fractions:
        if self.valid + self.test >= 0.9:
            raise ValueError("valid + test must leave more than a tenth of the rows for training")
        return self


class Lora(_Part):
    """Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685), used by `train.method: lora`."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the update of each adapted matrix.")
    alpha: int = Field(32, ge=1, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before the low-rank update.")


class Train(_Part):
    """How the network learns. What is left out is chosen from the data; the manifest says what and why."""

    method: Literal["full", "lora", "frozen", "scratch"] | None = Field(
        None,
        description="`full`: all weights. `lora`: low-rank updates. `frozen`: only the head. `scratch`: the base's "
        "shape with random weights. Default: full.",
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
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each target spread over all classes.")
    class_weights: Literal["auto", "none", "balanced"] = Field(
        "auto", description="`balanced` weighs rare classes up; `auto` does so when the rarest is under a tenth of even."
    )
    average: float = Field(
        0.0, ge=0, lt=1, description="Decay per step of a running average of the weights, which is what is kept; 0: off."
    )
    patience: int = Field(2, ge=1, description="Evaluations without a better validation score before training stops.")
    evaluations: int = Field(1, ge=1, le=100, description="Evaluations on the validation rows in each epoch.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="`auto`: bf16 where the device computes it natively, else fp32."
    )
    checkpoint_seconds: float = Field(60.0, ge=0, description="Least time between two checkpoints inside an epoch.")
    lora: Lora = Lora()


class Compress(_Part):
    """What is done to the trained network before it is released."""

    quantize: Literal["none", "int8"] = Field(
        "none", description="`int8`: weights in 8 bits, activations quantized at run time (ONNX Runtime dynamic)."
    )


class Typed(BaseModel):
    """A column's type with options of its own: `{type: text, max_tokens: 128}`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: str

    @property
    def options(self) -> dict[str, Any]:
        """Every key but `type`; the column type checks them."""
        return dict(self.model_extra or {})


ColumnType = str | Typed


class Spec(_Part):
    """The whole of `trimtab.yaml`. Three keys are enough: data, output, gates."""

    data: tuple[str, ...] = Field(
        description="csv, tsv, json lines or parquet, plain or gzipped; one file or a list. Relative to the spec file."
    )
    test: str | None = Field(None, description="A file of rows to measure the gates on; else some of `data`.")
    inputs: dict[str, ColumnType] | None = Field(
        None, description="Column -> type. Default: every column but the output, typed by looking at its values."
    )
    output: str | dict[str, ColumnType] = Field(
        description="The column to predict, or {column: type} with type label or number."
    )
    name: str | None = Field(
        None, pattern=r"^[\w.-]+$", description="Name of the run's folder in runs/. Default: the data file's name."
    )
    split: str | Fractions = Field(
        Fractions(), description="A column that holds train, valid (or dev) and test; or shares, cut by content hash."
    )
    base: str | None = Field(
        None,
        description="The pretrained encoder for text: `minilm`, a local folder, or a Hugging Face id. Default: minilm.",
    )
    fusion: str | None = Field(
        None, description="How states become one vector per row: mean, cls or attention. Default: mean."
    )
    clean: Clean = Clean()
    train: Train = Train()
    compress: Literal["auto", "none"] | Compress = Field(
        "auto",
        description="`auto`: int8 when a size, latency, throughput or memory gate is missed without it. `none`: as "
        "trained.",
    )
    gates: dict[str, str] = Field(
        default_factory=dict, description='Metric -> "operator bound unit"; all must hold for a release.'
    )
    seed: int = Field(7, ge=0, lt=2**31, description="Seeds every random choice.")

    @field_validator("data", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

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

    @property
    def output_name(self) -> str:
        """The column to predict."""
        return self.output if isinstance(self.output, str) else next(iter(self.output))

    @property
    def output_type(self) -> Typed | None:
        """The output's type, where the user gave one."""
        return None if isinstance(self.output, str) else typed(self.output[self.output_name])

    @property
    def run_name(self) -> str:
        """The folder of this spec's run inside `runs/`."""
        stem = Path(self.data[0]).name.split(".")[0]
        return self.name or re.sub(r"[^\w.-]+", "-", stem) or "run"


def typed(value: ColumnType) -> Typed:
    """Both spellings of a column type, `text` and `{type: text, ...}`, as one."""
    return Typed(type=value) if isinstance(value, str) else value


# --------------------------------------------------------------------------------------------------------- gates


@dataclass(frozen=True)
class Metric:
    """A number that can be measured on a bundle: its unit, and whether more of it is better."""

    unit: Literal["", "MB", "ms", "rows/s"]
    higher_is_better: bool
    output: Literal["label", "number", "any"] = "any"
    share: bool = False  # lies between 0 and 1


METRICS: dict[str, Metric] = {
    "accuracy": Metric("", True, "label", share=True),
    "macro_f1": Metric("", True, "label", share=True),
    "recall": Metric("", True, "label", share=True),  # written recall.<class>
    "auc": Metric("", True, "label", share=True),
    "log_loss": Metric("", False, "label"),
    "calibration_error": Metric("", False, "label", share=True),
    "rmse": Metric("", False, "number"),
    "mae": Metric("", False, "number"),
    "r2": Metric("", True, "number"),
    "size": Metric("MB", False),
    "latency": Metric("ms", False),
    "latency_p95": Metric("ms", False),
    "throughput": Metric("rows/s", True),
    "memory": Metric("MB", False),
}

# What a bound may be written in -> how many of the metric's own unit it is. MB is 10^6 bytes.
UNITS: dict[str, dict[str, float]] = {
    "": {"": 1.0, "%": 0.01},
    "MB": {"B": 1e-6, "kB": 1e-3, "KB": 1e-3, "MB": 1.0, "GB": 1e3, "KiB": 1.024e-3, "MiB": 1.048576, "GiB": 1073.741824},
    "ms": {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3},
    "rows/s": {"": 1.0, "rows/s": 1.0, "/s": 1.0},
}

Operator = Literal["<=", ">=", "<", ">"]
_BOUND = re.compile(r"^\s*(<=|>=|<|>)\s*([-+]?\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|[-+]?\.\d+)\s*(\S*)\s*$")


@dataclass(frozen=True)
class Gate:
    """One line of `gates`: `metric operator bound`, the bound in the metric's own unit."""

    name: str
    operator: Operator
    bound: float
    unit: str

    def met(self, value: float) -> bool:
        """Whether a measured value passes. NaN never does."""
        return {
            "<=": value <= self.bound,
            ">=": value >= self.bound,
            "<": value < self.bound,
            ">": value > self.bound,
        }[self.operator]

    def __str__(self) -> str:
        return f"{self.operator} {self.bound:g} {self.unit}".rstrip()


def parse_gate(name: str, text: str) -> Gate:
    """Read one gate, such as `size: "<= 15 MB"`. Raises TrimtabError for an unknown metric, form or unit."""
    where = f"gates.{name}"
    family, _, label = name.partition(".")
    if family not in METRICS or (label and family != "recall"):
        known = ["recall.<class>" if metric == "recall" else metric for metric in METRICS]
        raise problem(where, f"no metric named {name!r}", nearest(name, known))
    if family == "recall" and not label:
        raise problem(where, "recall needs a class", do="write recall.<class>, for example recall.spam")
    metric = METRICS[family]
    match = _BOUND.match(text)
    if not match:
        example = ">= 0.9" if metric.higher_is_better else f"<= 10 {metric.unit}".rstrip()
        raise problem(where, f"cannot read {text!r}", f'"operator bound unit", for example "{example}"')
    operator, number, unit = match.groups()
    units = UNITS[metric.unit]
    if unit not in units:
        listed = ", ".join(u or "(no unit)" for u in units)
        raise problem(where, f"unit {unit!r} in {text!r}" if unit else f"no unit in {text!r}", listed)
    if (operator[0] == ">") != metric.higher_is_better:
        better, right = ("higher", ">=") if metric.higher_is_better else ("lower", "<=")
        raise problem(where, f"{text!r} asks for the worse side", f"{family} is better when {better}: use {right}")
    bound = float(number.replace("_", "")) * units[unit]
    if metric.share and not 0 <= bound <= 1:
        raise problem(where, f"{text!r}", "a share from 0 to 1, or a percentage with %")
    return Gate(name, operator, bound, metric.unit)


def parse_gates(gates: Mapping[str, str]) -> list[Gate]:
    """All gates of a spec; raises one TrimtabError that names every bad one."""
    parsed, errors = [], []
    for name, text in gates.items():
        try:
            parsed.append(parse_gate(name, text))
        except TrimtabError as error:
            errors.append(error)
    if errors:
        raise several(errors)
    return parsed


# ------------------------------------------------------------------------------------------------------- reading


def read(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Read a spec file and apply `--set key=value` overrides.

    Raises TrimtabError that lists every problem with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise problem(str(path), "no such file", do="trimtab init DATA writes a spec from your data") from None
    except (OSError, UnicodeDecodeError) as error:
        raise problem(str(path), f"cannot be read ({error})", "a YAML file in UTF-8") from None
    try:
        values = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise problem(str(path), f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise problem(str(path), f"found {_kind(values)}", "keys and values, such as `data: reviews.csv`")
    lines = {} if node is None else dict(_lines(node, ()))
    return parse(override(values, overrides), str(path), lines)


def override(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Apply settings like `train.epochs=1`; the value is read as YAML. The input is not changed."""
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = _setting_path(key.strip())
        if not equals or not all(path):
            raise problem(f"--set {setting}", "cannot be read", "key=value, such as train.epochs=1")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise problem(f"--set {setting}", f"not YAML: {' '.join(str(error).split())}") from None
        part = result
        for step in path[:-1]:
            below = part.get(step)
            part[step] = below if isinstance(below, dict) else {}
            part = part[step]
        part[path[-1]] = value
    return result


def _setting_path(key: str) -> list[str]:
    """`gates.recall.spam` names one gate; every other dot goes one level down."""
    top, _, rest = key.partition(".")
    return [top, rest] if top in ("gates", "inputs") and rest else key.split(".")


def parse(values: Mapping[str, Any], where: str = "spec", lines: Mapping[tuple[str, ...], int] | None = None) -> Spec:
    """Check plain values. Raises TrimtabError with all problems: place, found, allowed, nearest name."""
    try:
        spec = Spec.model_validate(values)
        errors = []
    except ValidationError as invalid:
        spec = None
        seen: dict[tuple[str, ...], TrimtabError] = {}
        for detail in invalid.errors():
            path = _known_path(detail["loc"])
            seen.setdefault(path, _explain(detail, path, where, lines or {}))
        errors = list(seen.values())
    gates = values.get("gates")
    for name, bound in gates.items() if isinstance(gates, Mapping) else ():
        try:
            parse_gate(str(name), str(bound))
        except TrimtabError as error:
            errors.append(TrimtabError(f"{_place(('gates', str(name)), where, lines or {})}{error}"))
    if errors or spec is None:
        raise several(errors)
    return spec


def _explain(
    detail: Any, path: tuple[str, ...], where: str, lines: Mapping[tuple[str, ...], int]
) -> TrimtabError:
    place = f"{_place(path, where, lines)}{'.'.join(path)}"
    found = detail["input"]
    match detail["type"]:
        case "missing":
            return problem(place, "this key is needed", _describe(path))
        case "extra_forbidden":
            return problem(place, f"no key named {path[-1]!r}", nearest(path[-1], _keys_beside(path)))
        case _:
            return problem(place, f"found {found!r} ({detail['msg']})", _describe(path))


def _place(path: tuple[str, ...], where: str, lines: Mapping[tuple[str, ...], int]) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return f"{where}:{lines[path[:length]]}: "
    return f"{where}: "


def _known_path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Drop what pydantic adds for the members of a union, such as `literal['auto','none']`."""
    path: list[str] = []
    for step in location:
        name = str(step)
        if re.match(r"^(literal\[|function-|str$|dict\[|Fractions$|Compress$|Typed$|constrained|int$|float$|bool$)", name):
            continue
        path.append(name)
    return tuple(path)


def _model_at(path: tuple[str, ...]) -> type[BaseModel] | None:
    """The model whose keys stand at `path`, if that is a model."""
    model: type[BaseModel] = Spec
    for step in path:
        field = model.model_fields.get(step)
        if field is None:
            return None
        candidates = [field.annotation, *get_args(field.annotation)]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return None
        model = models[0]
    return model


def _keys_beside(path: tuple[str, ...]) -> list[str]:
    model = _model_at(path[:-1])
    return list(model.model_fields) if model else []


def _describe(path: tuple[str, ...]) -> str:
    model = _model_at(path[:-1])
    field = model.model_fields.get(path[-1]) if model else None
    return " ".join((field.description or "").split()) if field else ""


def _lines(node: yaml.Node, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], int]]:
    """Each key's path and the line that it stands on."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(value, below)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"

