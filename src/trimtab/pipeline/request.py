"""From a spec and its data to a request with nothing left open: everything that can be wrong is found here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import columns, registry
from trimtab import spec as specs
from trimtab.audit import gates
from trimtab.bundle.manifest import Automatic
from trimtab.columns import EncodedRows, InputColumn, OutputColumn, encode_rows
from trimtab.data.prepare import Prepared, prepare
from trimtab.errors import problem
from trimtab.nets.network import Architecture
from trimtab.progress import Progress
from trimtab.spec import Gate, Spec, Typed
from trimtab.train import base as bases
from trimtab.train import loop, settings

_TABLE_WIDTH = 64  # of the states where no pretrained encoder sets it


@dataclass(frozen=True)
class Request:
    """A spec that was checked against its data, with nothing left open."""

    spec: Spec
    gates: list[Gate]
    prepared: Prepared
    base: bases.Base | None
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    architecture: Architecture
    settings: settings.Settings
    automatic: list[Automatic]
    train: EncodedRows
    valid: EncodedRows


def check(spec: Spec, folder: Path, home: Path, progress: Progress) -> Request:
    """Find everything that is wrong with the request, and make every automatic choice, before training begins."""
    parsed = specs.parse_gates(spec.gates)
    progress.stage("data", ", ".join(spec.data))
    prepared = prepare(spec, folder, progress)
    gates.check_names(parsed, prepared.task, prepared.classes)
    automatic = [Automatic(key=a.key, value=a.value, reason=a.reason) for a in prepared.automatic]
    base = _base(spec, prepared, folder, home)
    if base and spec.base is None:
        automatic.append(Automatic(key="base", value=base.name, reason="bundled, small, and trained on English text"))
    _write_rejected(home, prepared)
    if prepared.rejected:
        progress.note(f"rows that were set aside: {home / 'rejected.jsonl'}")
    inputs, output = _fit(prepared, spec.output_name, base)
    train, valid = (encode_rows(inputs, table.values) for table in (prepared.splits.train, prepared.splits.valid))
    targets = output.targets(prepared.splits.train.values[output.name])
    counts = np.bincount(targets, minlength=output.width) if prepared.task == "label" else None
    chosen, reasons = settings.choose(spec, base, len(train), train.steps, counts, loop.device())
    fusion = spec.fusion or "mean"
    if spec.fusion is None:
        automatic.append(Automatic(key="fusion", value=fusion, reason="each input's mean, side by side"))
    automatic += [Automatic(key=key, value=value, reason=why) for key, (value, why) in reasons.items()]
    for entry in automatic[len(prepared.automatic) :]:
        progress.note(f"{entry.key}: {_short(entry.value)} ({entry.reason})")
    architecture = Architecture(
        width=base.width if base else _TABLE_WIDTH,
        fusion=fusion,
        dropout=chosen.dropout,
        head=prepared.task,
        text=dict(base.config) if base else None,
    )
    registry.load("trimtab.nets.fusions", fusion, f"{registry.camel(fusion)}Fusion", "fusion")
    return Request(
        spec, parsed, prepared, base, inputs, output, architecture, chosen, automatic, train, valid
    )  # fmt: skip


def _base(spec: Spec, prepared: Prepared, folder: Path, home: Path) -> bases.Base | None:
    """The pretrained encoder, where an input is text. Raises TrimtabError for one that nothing would use."""
    if any(kind.type == "text" for kind in prepared.inputs.values()):
        return bases.find(spec.base or "minilm", folder, home / "work" / "base")
    types = ", ".join(sorted({kind.type for kind in prepared.inputs.values()}))
    if spec.base is not None:
        raise problem("base", f"{spec.base!r}, but no input is text (the inputs: {types})", do="leave base out")
    if spec.train.method in ("lora", "frozen"):
        found = f"{spec.train.method!r}, but no input has a pretrained encoder (the inputs: {types})"
        raise problem("train.method", found, "scratch, or nothing")
    return None


def _write_rejected(home: Path, prepared: Prepared) -> None:
    """Every row that was set aside, with file, line and reason: nothing is lost."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in prepared.rejected]
    (home / "rejected.jsonl").write_text("".join(lines), encoding="utf-8")


def _fit(prepared: Prepared, name: str, base: bases.Base | None) -> tuple[tuple[InputColumn, ...], OutputColumn]:
    """Fit every column on the training rows."""
    table = prepared.splits.train
    keys = columns.keys([*prepared.inputs, name])
    inputs = tuple(
        columns.fit(kind.type, column, keys[column], table.values[column], _options(kind, base))
        for column, kind in prepared.inputs.items()
    )
    classes = {"classes": prepared.classes} if prepared.task == "label" else {}
    options = {**classes, **prepared.output.options}
    return inputs, columns.fit(prepared.output.type, name, keys[name], table.values[name], options)


def _options(kind: Typed, base: bases.Base | None) -> dict[str, Any]:
    if kind.type != "text" or base is None:
        return kind.options
    return {"tokenizer": base.tokenizer, "pad_id": base.pad_id, "limit": base.max_tokens, **kind.options}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def filled(request: Request) -> dict[str, Any]:
    """The spec with every default and every automatic choice written out."""
    values = request.spec.model_dump(mode="json")
    values["inputs"] = {name: kind.model_dump(mode="json") for name, kind in request.prepared.inputs.items()}
    values["output"] = {request.output.name: request.prepared.output.model_dump(mode="json")}
    for entry in request.automatic:
        part, _, key = entry.key.rpartition(".")
        if entry.key in values or (part in values and isinstance(values[part], dict)):
            (values[part] if part else values)[key or entry.key] = entry.value
    return values
