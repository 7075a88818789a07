"""JSON schemas (draft 2020-12) of values and answers, as several types of columns have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.columns._assurance import Assurance

SCALAR = {"type": ["string", "number", "boolean", "null"]}  # a value that could stand in a cell
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_LISTED = 200  # names that a schema lists; of more it says only that they are names


def one_of(names: Sequence[str], nothing: bool = False) -> dict[str, Any]:
    """One of some names; with `nothing` also null."""
    schema: dict[str, Any] = {"type": ["string", "null"] if nothing else "string"}
    return schema | ({"enum": [*names, None] if nothing else [*names]} if len(names) <= _LISTED else {})


def several_of(names: Sequence[str]) -> dict[str, Any]:
    """A list of names."""
    return {"type": "array", "items": one_of(names)}


def best(name: str, names: Sequence[str], word: str) -> dict[str, Any]:
    """The best answers of a row, each with its share, the best first."""
    properties = {name: one_of(names), word: SHARE}
    return {"type": "array", "items": {"type": "object", "properties": properties, "required": [name, word]}}


def classes(name: str, names: Sequence[str], assurance: Assurance) -> dict[str, dict[str, Any]]:
    """What `_assurance.of_classes` gives, and the best classes of a row."""
    word = "probability" if name == "confidence" else "confidence"
    withheld = assurance.answered_from is not None
    schema = {name: one_of(names, withheld), word: SHARE}
    if withheld:
        schema["withheld" if name == "abstained" else "abstained"] = {"type": "boolean"}
    if assurance.coverage is not None:
        schema[f"{name}_set"] = several_of(names)
    return schema | {f"{name}_top": best(name, names, word)}


def content(kind: str, *, more: str = "") -> dict[str, Any]:
    """The content of a file of a media type such as `image`: base64 or a data: URI."""
    said = f"the content of a file of type {kind}/*, in base64 or as a data: URI; no file is opened, no address fetched"
    inline = {"type": ["string", "null"], "contentEncoding": "base64", "contentMediaType": f"{kind}/*"}
    held = {"type": "object", "properties": {"bytes": inline}, "required": ["bytes"]}
    return {"description": f"{said}{more}", "anyOf": [inline, held]}
