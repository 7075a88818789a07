"""Rows to predictions: columns encode, ONNX Runtime computes, the output column decodes. There is no other path."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.columns import InputColumn, OutputColumn, encode_rows, length_batches
from trimtab.errors import TrimtabError, nearest, problem

_GOLDEN_AT_LOAD = 3  # golden rows replayed at every load; `verify` replays all of them


@dataclass(frozen=True)
class Predictions:
    """The answers to some rows, in their order."""

    outputs: np.ndarray  # what the network gave: logits (rows, classes), or a standardised number (rows, 1)
    answers: dict[str, list[Any]]  # answer column -> one value per row

    def __len__(self) -> int:
        return len(self.outputs)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in self.answers.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row, such as {"sentiment": "positive", "confidence": 0.97}."""
        return list(self)


@dataclass(frozen=True)
class Model:
    """A bundle that is ready to answer. Safe to use from several threads."""

    folder: Path
    manifest: Manifest
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    session: onnxruntime.InferenceSession = field(repr=False, compare=False)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Predictions:
        """Answer rows; what a row lacks counts as missing.

        Raises TrimtabError when no row has a column that cannot be done without, with the nearest name.
        """
        check_names(self.inputs, _names(rows)) if rows else None
        outputs = self.outputs({column.name: [row.get(column.name) for row in rows] for column in self.inputs})
        return Predictions(outputs, self.output.decode(outputs))

    def outputs(self, values: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """The network's outputs (rows, width), float32; `values` maps each input column's name to its raw values.

        Rows are answered in batches of like length, within the manifest's `batch_tokens`.
        """
        rows = encode_rows(self.inputs, values)
        if len(rows) == 1:
            return self._run(rows.batch(np.zeros(1, np.int64)))
        outputs = np.empty((len(rows), self.output.width), np.float32)
        for batch in length_batches(rows.steps, self.manifest.batch_tokens):
            outputs[batch] = self._run(rows.batch(batch))
        return outputs

    def _run(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        outputs: np.ndarray = self.session.run(None, tensors)[0]
        return outputs


# ------------------------------------------------------------------------------------------------------- loading


def load(folder: Path | str, threads: int | None = None) -> Model:
    """Load a bundle: serving files are checked against the manifest, and some golden rows are replayed.

    `threads` is what one batch is computed with; default: the cores that this process may use.
    Raises TrimtabError for what is not a whole bundle, and for a machine that computes other answers.
    """
    path = Path(folder)
    manifest = store.read_manifest(path)
    with ThreadPoolExecutor(2) as pool:
        checked = pool.submit(store.check_files, path, manifest, store.serving_files(manifest))
        columns = pool.submit(store.load_columns, path, manifest)
        session = _session(path, threads or usable_cores(), checked.result)
        checked.result()
        inputs, output = columns.result()
    model = Model(path, manifest, inputs, output, session)
    replay(model, islice(read_golden(path), _GOLDEN_AT_LOAD))
    return model
