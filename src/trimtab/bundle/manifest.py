"""`manifest.json`: what is in a bundle, how it was made, and every number that was measured on it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

FORMAT_VERSION = 1


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


class ColumnEntry(_Part):
    """A column of the bundle; its state is in `columns/<key>.json`."""

    name: str
    key: str = Field(pattern=r"^\w[\w-]*$")  # a file's name inside the bundle, never a path out of it
    type: str


class Automatic(_Part):
    """An automatic choice: the spec's key, the value taken and why."""

    key: str
    value: Any
    reason: str


class Cascade(_Part):
    """The small network of a bundle, in `first.onnx`: it answers the rows that it is sure of, `model.onnx` the others.

    A row is sure where the likeliest class has at least the probability `threshold` in the softmax of its outputs.
    """

    tensors: list[str]  # its inputs, in order
    threshold: float
    scale: float = 1.0  # its outputs are multiplied by this, so that one output column decodes those of both networks
    precision: str = "fp32"
    batch_tokens: int = 1024  # as in `Manifest`
    batch_rows: int | None = None


class Manifest(_Part):
    """The whole of `manifest.json`."""

    format_version: int = FORMAT_VERSION
    trimtab: str
    name: str
    created: str
    task: str  # the type of the output
    headline: str = "accuracy"  # the metric that is told first
    spec: dict[str, Any]
    automatic: list[Automatic] = []
    inputs: list[ColumnEntry]
    output: ColumnEntry
    tensors: list[str]  # the ONNX model's inputs, in order
    precision: str = "fp32"
    tolerance: float = 1e-4  # how far a replayed golden row's outputs may lie from the stored ones
    batch_tokens: int = 1024  # padded steps in one batch of the runtime; at 4096 a row costs 29% more CPU time
    batch_rows: int | None = None  # rows in one batch of the runtime; None: by the size of what the columns read
    cascade: Cascade | None = None
    data: dict[str, Any] = Field(default_factory=dict)  # rows per split, rejected, duplicates, leaks
    stages: list[Stage] = []
    measured: dict[str, Measured] = Field(default_factory=dict)
    evidence: dict[str, Any] = Field(default_factory=dict)  # confusion, curves, calibration, floor, hardest mistakes
    gates: list[GateResult] = []
    released: bool = False
    why: list[str] = []  # why it was not released
    machine: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)  # path inside the bundle -> sha256
    hash: str = ""  # sha256 over what decides the answers: see bundle.store.content_hash
    checksum: str = ""  # sha256 over the rest of this manifest, written by bundle.store

    @property
    def encoding(self) -> str | None:
        """What the files of training that are not UTF-8 were read as."""
        found = self.data.get("encoding") or self.spec.get("encoding")
        return None if found is None else str(found)
