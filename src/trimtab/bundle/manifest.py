"""`manifest.json`: how a bundle was made, and every number that was measured on it. Answering does not need it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trimtab.bundle.serving import FORMAT_VERSION, ColumnEntry, Serving

_FORMER_EVIDENCE = {"floor": "baselines"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Measured(_Part):
    """One measured number with its 95% interval (None where an interval makes no sense, as for a size)."""

    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None


class GateResult(_Part):
    """One gate of the spec: what was asked, what was measured, whether it holds."""

    name: str
    asked: str
    measured: float | None
    unit: str = ""
    met: bool
    reason: str = ""  # why it is not met, or what to doubt about it


class Stage(_Part):
    """A stage that ran."""

    name: str
    seconds: float
    detail: dict[str, Any] = Field(default_factory=dict)


class Automatic(_Part):
    """An automatic choice: the spec's key, the value taken and why."""

    key: str
    value: Any
    reason: str


class Ancestor(_Part):
    """A bundle that another one was adapted from."""

    name: str
    hash: str
    created: str
    trimtab: str
    learnt: dict[str, int] = Field(default_factory=dict)  # rows that the next one learnt: new ones, replayed ones


class Manifest(_Part):
    """The whole of `manifest.json`, and `serving`, which has a file of its own."""

    format_version: int = FORMAT_VERSION
    trimtab: str
    name: str
    created: str
    task: str  # the type of the output
    headline: str = "accuracy"  # the metric that is told first
    spec: dict[str, Any]
    automatic: list[Automatic] = []
    serving: Serving
    lineage: list[Ancestor] = []  # what it was adapted from, the first bundle first
    data: dict[str, Any] = Field(default_factory=dict)  # rows per split, rejected, duplicates, leaks
    stages: list[Stage] = []
    measured: dict[str, Measured] = Field(default_factory=dict)
    evidence: dict[str, Any] = Field(default_factory=dict)  # confusion, baselines, hardest mistakes, ...
    gates: list[GateResult] = []
    released: bool = False
    why: list[str] = []  # why it was not released
    machine: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)  # every file but this one: its path in the bundle -> sha256
    checksum: str = ""  # sha256 over the rest of this manifest, written by bundle.store

    @field_validator("evidence")
    @classmethod
    def _present_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Baselines were once called "floor"."""
        found = {_FORMER_EVIDENCE.get(key, key): part for key, part in value.items()}
        points = found.get("frontier", {}).get("points", [])
        named = [{**point, "kind": "baseline"} if point.get("kind") == "floor" else point for point in points]
        return {**found, "frontier": {**found["frontier"], "points": named}} if points else found

    @property
    def inputs(self) -> list[ColumnEntry]:
        """The columns that are read."""
        return self.serving.inputs

    @property
    def output(self) -> ColumnEntry:
        """The column that is answered."""
        return self.serving.output

    @property
    def precision(self) -> str:
        """Of the networks, each that occurs once."""
        return ", ".join(dict.fromkeys(graph.precision for graph in self.serving.graphs.values()))

    @property
    def hash(self) -> str:
        """sha256 over what decides the answers: see `bundle.store.content_hash`."""
        return self.serving.hash
