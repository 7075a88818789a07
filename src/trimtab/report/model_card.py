"""What stands above `card.md`: the metadata of a model card, as the Hugging Face hub reads it.

The keys are those of its model-card specification (`huggingface_hub.ModelCardData`): language, license, tags,
`pipeline_tag`, and figures in `model-index`. What a manifest does not know is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import yaml

from trimtab import metrics
from trimtab.bundle.manifest import Manifest
from trimtab.errors import visible
from trimtab.page import figures

# Of the texts that a bundled base was trained on.
_LANGUAGES = {"minilm": "en", "e5-small": "multilingual", "smollm2": "en"}
_CLASSES, _NUMBERS = frozenset({"label", "labels", "ordinal"}), frozenset({"number", "numbers"})
_TABULAR = frozenset({"number", "category"})
_ONE_LINE = 1 << 30  # a text that is folded could have a line that ends the metadata
_LESS = "\\x3C"  # `<` between the quotes of YAML
_READ = ("image", "audio", "text")  # what an input of that type makes of a task


def header(manifest: Manifest) -> str:
    """The metadata between two lines of `---`; valid YAML whatever users' names hold."""
    held = {key: value for key, value in _metadata(manifest).items() if value}
    text = yaml.dump(held, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_ONE_LINE)
    return f"---\n{text.replace('<', _LESS)}---\n"


class _Dumper(yaml.SafeDumper):
    """Quotes what holds a `<`, which can then be written so that no page that shows the metadata takes it for HTML."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "<" in text else None)


_Dumper.add_representer(str, _string)


def _metadata(manifest: Manifest) -> dict[str, Any]:
    read = [column.type for column in manifest.inputs]
    task = _task(read, manifest.task)
    chosen = next((one.value for one in manifest.automatic if one.key == "base"), "")
    return {
        "language": _LANGUAGES.get(str(manifest.spec.get("base") or chosen)),
        "license": _plain(manifest.spec.get("license") or ""),
        "library_name": "trimtab",
        "pipeline_tag": task,
        "tags": list(dict.fromkeys(["trimtab", "onnx", *read, manifest.task])),
        "metrics": [manifest.headline] if manifest.headline in manifest.measured else [],
        "model-index": [{"name": _plain(manifest.name), "results": _results(manifest, task or "other")}],
    }


def _task(read: list[str], answered: str) -> str | None:
    """The hub's name of a task; None where it has none."""
    if answered == "tags":
        return "token-classification"
    if set(read) <= _TABULAR and answered in _CLASSES | _NUMBERS:
        return f"tabular-{'classification' if answered in _CLASSES else 'regression'}"
    kinds = [kind for kind in _READ if kind in read]
    return f"{kinds[0]}-classification" if kinds and answered in _CLASSES else None


def _results(manifest: Manifest, task: str) -> list[dict[str, Any]]:
    """What was measured on the test rows, as one result; none without figures."""
    found = list(_figures(manifest))
    if not found:
        return []
    audited = manifest.data.get("audited")
    files = [audited["file"]] if audited else manifest.spec.get("data") or [manifest.name]
    name = ", ".join(PurePosixPath(str(file).replace("\\", "/")).name for file in files)
    dataset = {"name": _plain(name), "type": _plain(name), "split": "test"}
    return [{"task": {"type": task}, "dataset": dataset, "metrics": found}]


def _figures(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Of the whole test rows: those of single classes and groups stand below."""
    for name, one in manifest.measured.items():
        parsed = metrics.parsed(name)
        if math.isfinite(one.value) and not (parsed.part or parsed.columns):
            unit = f" ({one.unit})" if one.unit else ""
            yield {"type": _plain(name), "value": float(one.value), "name": _plain(figures.label(name) + unit)}


def _plain(text: object) -> str:
    """On one line, its control characters spelt out."""
    return visible(" ".join(str(text).split()))
