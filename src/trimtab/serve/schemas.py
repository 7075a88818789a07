"""The schemas of a bundle's requests and answers, put together of what its columns say."""

from __future__ import annotations

from typing import Any

from trimtab.columns import no_outputs
from trimtab.runtime import Model
from trimtab.serve.bodies import FORM, JSON
from trimtab.serve.served import Served
from trimtab.values.problems import KINDS

ROW, ANSWERED = {"$ref": "#/components/schemas/Row"}, {"$ref": "#/components/schemas/Answered"}
_HASH = {"type": "string", "description": "what decides the answers of the bundle (sha256)"}


def row(model: Model) -> dict[str, Any]:
    """A row of a request."""
    return {
        "type": "object",
        "properties": {column.name: column.value_schema() for column in model.inputs},
        "required": [column.name for column in model.inputs if not column.imputes],
        "minProperties": 1,
    }


def answered(model: Model) -> dict[str, Any]:
    """The answer to a row, with its id and what was wrong with the row's values."""
    problem = {
        "type": "object",
        "properties": {
            "column": {"type": "string"},
            "kind": {"type": "string", "enum": list(KINDS)},
            "reason": {"type": "string"},
            "lost": {"type": "number", "description": "the share of the value that the network does not see"},
        },
    }
    answers = model.output.answer_schema()
    given = list(model.output.decode(no_outputs(model.output.tensors)))
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "of this answer: what feedback on it names"},
            "answer": {"type": "object", "properties": answers, "required": given},
            "problems": {"type": "array", "items": problem},
        },
        "required": ["id", "answer", "problems"],
    }


def request(served: Served) -> dict[str, Any]:
    """The content of a request that has rows, by its media type."""
    many = {"type": "array", "items": ROW}
    listed = {"type": "object", "properties": {"rows": many, "top": {"type": "integer"}}, "required": ["rows"]}
    shown = {f"row {place}": {"value": dict(one)} for place, one in enumerate(served.examples, 1)}
    if len(served.examples) > 1:
        shown["several rows"] = {"value": {"rows": [dict(one) for one in served.examples]}}
    content = {JSON: {"schema": {"anyOf": [ROW, listed, many]}, **({"examples": shown} if shown else {})}}
    if not any(column.from_files for column in served.model.inputs):
        return content
    files = {c.name: {"type": "string", "format": "binary"} for c in served.model.inputs if c.from_files}
    form = row(served.model)
    return {**content, FORM: {"schema": {**form, "properties": {**form["properties"], **files}}}}


def response(served: Served) -> dict[str, Any]:
    """The answer to a request that has rows."""
    one = {"allOf": [ANSWERED, {"type": "object", "properties": {"bundle": _HASH}, "required": ["bundle"]}]}
    answers = {"type": "array", "items": ANSWERED}
    several = {"properties": {"answers": answers, "bundle": _HASH}, "required": ["answers", "bundle"]}
    return {
        "description": "the answer to a row that was sent by itself, else the answers in the order of the rows",
        "content": {JSON: {"schema": {"anyOf": [one, {"type": "object", **several}]}}},
    }
