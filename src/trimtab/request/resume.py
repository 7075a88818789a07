"""What is kept of an earlier launch, and the keys that say whether it still holds."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trimtab import __version__, files
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.columns import EncodedRows, as_arrays
from trimtab.data.table import Table
from trimtab.errors import TrimtabError
from trimtab.request import Request, filled, mitigation

# Keys of the spec that say nothing of how a network learns; of `fairness` the weights of rows do.
_DECIDED_LATER = (
    "gates", "compress", "data", "test", "name", "protected", "confidence", "coverage", "answers", "fairness",
    "behaviour", "cost", "foreign", "description", "intended_use", "license", "language", "search", "track",
)  # fmt: skip
_BLOCK = 65_536  # values that are hashed at a time


def begin(folder: Path, held: str) -> bool:
    """Throw away what another spec, other rows or another version left in a stage's folder; whether there was any."""
    note = folder / "key"
    known = note.read_bytes() if note.is_file() else None
    if known == held.encode():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files.write(note, held)
    return known is not None


def finished(home: Path, request: Request) -> Manifest | None:
    """The bundle of an earlier launch of exactly this request, if there is one and it is whole."""
    files.recover(home / "bundle")
    done = files.read_json(home / "work" / "done.json")
    if done is None or done.get("key") != key(request):
        return None
    try:
        manifest = store.read_manifest(home / "bundle")
        store.check_files(home / "bundle", manifest)
    except TrimtabError:  # it is made again
        return None
    return manifest


def train_key(request: Request) -> str:
    """Changes when anything does that decides the trained weights."""
    said = filled(request)
    for place in _DECIDED_LATER:
        said.pop(place)
    splits = request.prepared.splits
    rows = [_numbers(request.train), _numbers(request.valid)]
    answers = [_answers(request, table) for table in (splits.train, splits.valid)]
    weights = mitigation.weights(request.spec, request.output, request.inputs, [splits.train, splits.valid])
    answers += [] if weights is None else [hashlib.sha256(weights.tobytes()).hexdigest()]
    source = [reader.base.fingerprint for reader in request.chosen.plans if reader.base]
    return _digest([__version__, torch.__version__, said, rows, answers, source, request.settings.score])


def key(request: Request) -> str:
    """Changes when anything does that decides the bundle; a file of the test rows by its content."""
    test = request.prepared.splits.test.values
    read = [(c, rows[c.name]) for rows in (test, request.foreign) for c in request.inputs if c.name in rows]
    contents = [_values([c.digest(one) for one in values] if c.from_files else values) for c, values in read]
    beside = [request.prepared.splits.test.weight, *request.prepared.kept, *request.spec.protected]
    by = request.spec.mitigated_by if request.spec.fairness.mitigate == "thresholds" else ()
    splits = request.prepared.splits
    of_groups = [_values(table.values[name]) for table in (splits.train, splits.valid) for name in by]
    told = [_values(test[name]) for name in beside if name is not None and name in test]
    tests = [repr(test) for test in request.tests]
    rows = [contents, _answers(request, request.prepared.splits.test), told, of_groups, request.unlabelled, tests]
    return _digest([train_key(request), rows, request.spec.model_dump(mode="json")])


def search_key(request: Request, origin: str) -> str:
    """Changes when anything does that all candidates for a network of that origin are made of and measured by."""
    splits = request.prepared.splits
    rows = [_numbers(request.train), _numbers(request.valid), request.unlabelled]
    answers = [_answers(request, table) for table in (splits.train, splits.valid)]
    promised = [one for one in (request.spec.coverage, request.spec.answers) if one is not None]
    return _digest([origin, rows, answers, *promised])


def _numbers(rows: EncodedRows) -> str:
    """Of all that the network is given of some rows."""
    digest = hashlib.sha256()
    for encoded in rows.encoded:
        for array in as_arrays(encoded).values():
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _values(values: Sequence[Any]) -> str:
    """Of the raw values of a column, of which few are objects at a time."""
    digest = hashlib.sha256()
    for start in range(0, len(values), _BLOCK):
        digest.update(json.dumps(list(values[start : start + _BLOCK]), sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _answers(request: Request, table: Table) -> str:
    """Of the answers of some rows; of files by their content."""
    kind, values = request.output.values_kind, table.values[request.output.name]
    return _values([kind.digest(value) for value in values] if kind.from_files else values)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def finish(home: Path, request: Request) -> None:
    """Note that this very request has been carried out."""
    files.write(home / "work" / "done.json", json.dumps({"key": key(request)}))
