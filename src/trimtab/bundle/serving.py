"""`serving.json`: what decides the answers of a bundle. All that answering reads beside the files that it names."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

FORMAT_VERSION = 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ColumnEntry(_Part):
    """A column of the bundle; its state is in `columns/<key>.json`."""

    name: str
    key: str = Field(pattern=r"^\w[\w-]*$")  # a file's name inside the bundle, never a path out of it
    type: str


class GraphEntry(_Part):
    """A network of the bundle."""

    file: str = Field(pattern=r"^\w[\w.-]*$")  # inside the bundle, never a path out of it
    inputs: list[str]  # its tensors, in order
    outputs: list[str] = ["outputs"]
    precision: str = "fp32"
    batch_cost: int = 1024  # padded, of one batch (see `InputColumn.cost`); at 4096 a row of text costs 29% more time
    batch_rows: int | None = None  # of one batch at most; None: as many as the cost leaves


class ProgramEntry(_Part):
    """How the networks are run: a program of the folder `programs/`."""

    name: str = "single"
    options: dict[str, Any] = Field(default_factory=dict)


class Serving(_Part):
    """The whole of `serving.json`."""

    format_version: int = FORMAT_VERSION
    trimtab: str
    inputs: list[ColumnEntry]
    output: ColumnEntry
    graphs: dict[str, GraphEntry]
    program: ProgramEntry = ProgramEntry()
    tolerance: float = 1e-4  # how far a replayed golden row's outputs may lie from the stored ones
    encoding: str | None = None  # what the files of training that are not UTF-8 were read as
    files: dict[str, str] = Field(default_factory=dict)  # those that answering needs: path inside the bundle -> sha256
    hash: str = ""  # sha256 over what decides the answers: see `bundle.store.content_hash`
    checksum: str = ""  # sha256 over the rest of this file, written by bundle.store
