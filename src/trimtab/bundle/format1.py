"""Bundles of format 1, whose `manifest.json` held all that is now in two files: read as one of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab import programs
from trimtab.programs.single import MODEL

VERSION = 1

_GRAPH = ("precision", "batch_rows")  # keys that are called today as they were


def serving(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What `serving.json` would hold.

    Where there were two networks, a key of the manifest that was called like their program held the inputs of the one
    in a file of its own, beside the program's options.
    """
    graphs = {MODEL: _graph(manifest, MODEL)}
    program: dict[str, Any] = {"name": "single"}
    for name in programs.names():
        if said := manifest.get(name):
            kind = programs.kind(name, "format 1")
            graphs |= {graph: _graph(said, graph) for graph in kind.graphs if graph != MODEL}
            program = {"name": name, "options": {key: said[key] for key in kind.takes.model_fields if key in said}}
    kept = {key: manifest[key] for key in ("trimtab", "inputs", "output", "tolerance", "hash") if key in manifest}
    read_as = manifest.get("data", {}).get("encoding") or manifest.get("spec", {}).get("encoding")
    return {**kept, "format_version": VERSION, "graphs": graphs, "program": program, "encoding": read_as}


def _graph(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    kept = {key: said[key] for key in _GRAPH if key in said}
    return {**kept, "file": f"{name}.onnx", "inputs": said.get("tensors"), "batch_cost": said.get("batch_tokens", 1024)}


def decides(manifest: Mapping[str, Any], deciding: Mapping[str, Any]) -> dict[str, Any]:
    """What the hash was over: files and choices of the spec, and the second network where there was one."""
    return {**deciding, **{name: manifest[name] for name in programs.names() if manifest.get(name)}}
