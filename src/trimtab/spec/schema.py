"""The JSON schema of `trimtab.yaml`, for editors: they complete keys, show what each means and mark what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from trimtab import metrics
from trimtab.metrics import Metric
from trimtab.spec.gates import UNITS
from trimtab.spec.model import Spec

Options = Mapping[str, type[BaseModel] | None]  # a column type -> what may be set on it; None: not known here

FILE = "trimtab.schema.json"  # where `trimtab init` looks for it, beside the spec
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER = r"([-+]?\d[\d_]*\.?\d*([eE][-+]?\d+)?|[-+]?\.\d+)"
_BASES = ("minilm", "efficientnet-lite0", "smollm2")
_TRACKER: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1, "examples": ["tensorboard", "mlflow", "wandb"]},
        {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    ]
}
_PROMPTING = {"$ref": "#/$defs/Prompting"}


def schema(inputs: Options, outputs: Options, encoders: Sequence[str], fusions: Sequence[str]) -> dict[str, Any]:
    """The schema, with the types of columns, the encoders and the fusions that there are."""
    found = Spec.model_json_schema()
    definitions = {name: part for name, part in found["$defs"].items() if name not in ("Typed", "Part")}
    definitions["Encoder"] = _named("name", encoders)
    definitions["Fusion"] = _named("name", fusions)
    beside = {
        "encoder": {"$ref": "#/$defs/Encoder", "description": "The part of the network that reads the column."},
        "base": {"type": "string", "description": "Its pretrained model, where it is not the spec's own."},
        "augment": {
            "anyOf": [{"enum": ["auto", "none"]}, {"type": "object"}],
            "description": "How training rows are varied: auto, none, or operations with options.",
        },
    }
    definitions["Input"] = _typed({**inputs, "ignore": None}, beside, definitions)
    definitions["Output"] = _typed(outputs, {}, definitions)
    keys = found["properties"]
    keys["data"] = _also_one(keys["data"], least=1)
    keys |= {name: _also_one(keys[name]) for name in ("keep", "protected", "behaviour", "foreign", "unlabelled")}
    students = definitions["Compress"]["properties"]
    students["unlabelled"] = _also_one(students["unlabelled"])
    keys["inputs"] |= {"anyOf": _mappings(keys["inputs"]["anyOf"], {"$ref": "#/$defs/Input"})}
    one = {"minProperties": 1, "maxProperties": 1}
    keys["output"] |= {"anyOf": _mappings(keys["output"]["anyOf"], {"$ref": "#/$defs/Output"}, one)}
    keys["fusion"] |= {"anyOf": [{"$ref": "#/$defs/Fusion"}, {"type": "null"}]}
    keys["prompt"] = {"description": keys["prompt"]["description"], "anyOf": [{"type": "string"}, _PROMPTING]}
    trackers = {"type": "array", "items": _TRACKER}
    keys["track"] = {"description": keys["track"]["description"], "anyOf": [*_TRACKER["anyOf"], trackers]}
    keys["base"] |= {"examples": list(_BASES)}
    keys["gates"] = _gates(keys["gates"]["description"])
    return {"$schema": _DIALECT, "title": "trimtab.yaml"} | found | {"$defs": definitions}


def line(file: str) -> str:
    """The line of a spec that names its schema to editors."""
    return f"# yaml-language-server: $schema={file}"


def _also_one(many: Mapping[str, Any], least: int = 0) -> dict[str, Any]:
    """A list of at least so many, or one of its items by itself."""
    shape = {key: value for key, value in many.items() if key not in ("description", "title")}
    one = many["items"] | {"minLength": 1}
    return {"description": many["description"], "anyOf": [one, shape | {"minItems": least}]}


def _named(key: str, names: Sequence[str]) -> dict[str, Any]:
    """One of some names, or a mapping that holds it and its options."""
    mapping = {"type": "object", "properties": {key: {"enum": [*names]}}, "required": [key]}
    return {"anyOf": [{"enum": [*names]}, mapping]}


def _mappings(
    options: Sequence[Mapping[str, Any]], value: Mapping[str, Any], bounds: Mapping[str, int] | None = None
) -> list[Mapping[str, Any]]:
    """The options, of which those that are mappings hold `value`."""
    mapping = {"type": "object", "additionalProperties": value, **(bounds or {})}
    return [mapping if option.get("type") == "object" else option for option in options]


def _typed(types: Options, beside: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A column's type: its name, or a mapping with its options; what the options refer to joins the definitions."""
    mappings = []
    for name, model in types.items():
        own = model.model_json_schema() if model else {"properties": {}}
        definitions |= own.get("$defs", {})
        mapping = {
            "type": "object",
            "properties": {"type": {"const": name}, **own["properties"], **beside},
            "required": ["type", *own.get("required", [])],
        }
        mappings.append(mapping | ({"additionalProperties": False} if model else {}))
    return {"anyOf": [{"enum": [*types]}, *mappings]}


def _gates(description: str) -> dict[str, Any]:
    """One key for each metric, and patterns for those that are asked of classes, columns, places or other metrics."""
    known = [metric for metric in metrics.every().values() if metric.gate]
    whole = {metric.default: _bound(metric) for metric in known if metric.whole}
    return {
        "description": description,
        "type": "object",
        "properties": whole,
        "patternProperties": {pattern: bound for metric in known for pattern, bound in _patterns(metric, known)},
        "additionalProperties": False,
    }


def _patterns(metric: Metric, known: Sequence[Metric]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = re.escape(metric.name)
    if metric.of_metric:
        for inner in known:
            if not inner.of_every_output:
                behind = r"(@[1-9]\d*)?$" if inner.whole else r"\..+"
                yield rf"^{name}\.{re.escape(inner.name)}{behind}", _bound(inner)
    elif metric.at is not None:
        yield rf"^{name}@[1-9]\d*$", _bound(metric)
    elif metric.by_column:
        part = r"(\..+)?" if metric.parts else ""
        yield rf"^{name}(\([^()]+\))?{part}$", _bound(metric)
    elif metric.parts:
        yield rf"^{name}\..+", _bound(metric)


def _bound(metric: Metric) -> dict[str, Any]:
    """What a gate on a metric looks like: the good side, a number, and one of its units."""
    units = "|".join(re.escape(unit) for unit in UNITS[metric.unit])
    side = ">" if metric.higher_is_better else "<"
    unit = "" if metric.share or "million" in metric.unit or not metric.unit else f" {metric.unit}"
    example = f"{side}= {'0.9' if metric.higher_is_better and not unit else '10' if metric.unit else '0.1'}{unit}"
    return {"type": "string", "pattern": rf"^\s*{side}=?\s*{_NUMBER}\s*({units})\s*$", "examples": [example]}
