"""Rows to predictions: columns encode, ONNX Runtime computes, the output column decodes. There is no other path."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from trimtab import files
from trimtab.bundle import store
from trimtab.bundle.manifest import Cascade, Manifest
from trimtab.columns import (
    EncodedRows,
    InputColumn,
    InputPolicy,
    OutputColumn,
    Outputs,
    dense,
    encode_rows,
    in_order,
    joined,
    length_batches,
    ragged,
    read_rows,
)
from trimtab.errors import nearest, problem
from trimtab.values.problems import Problem

_OTHER_ANSWERS = "make the bundle again on this machine, or serve it where it was made: see `trimtab inspect`"
_SETTLED = 3.0  # tolerances that a golden row's log-odds must lie from a cascade's threshold
_LARGEST = 512  # rows of one batch
_NUMBERS = 2_000_000  # of one batch of rows whose size `batch_tokens` does not bound, such as pictures
_ENCODED = 16  # batches whose rows are encoded at a time
_PADDING = 16  # part of `batch_tokens` that may be padding in one batch: another call costs about as much
_GOLDEN_AT_LOAD = 3  # golden rows replayed at every load; `verify` replays all of them


@dataclass(frozen=True)
class Predictions:
    """The answers to some rows, in their order."""

    outputs: Outputs  # what the network gave: logits (rows, classes), a standardised number (rows, 1) ...
    answers: dict[str, list[Any]]  # answer column -> one value per row
    problems: tuple[Problem, ...] = ()  # values that could not be read, were never seen in training, were cut ...
    early: np.ndarray | None = None  # (rows,) whether a cascade's small network answered; None: there is no cascade

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
class Answered:
    """The network's outputs for some rows, in their order."""

    outputs: Outputs
    problems: tuple[Problem, ...]  # of the values, column by column
    early: np.ndarray | None = None  # (rows,) which the small network of a cascade answered


@dataclass(frozen=True)
class Graph:
    """One ONNX file, ready to run."""

    session: onnxruntime.InferenceSession = field(repr=False, compare=False)
    tensors: tuple[str, ...]
    batch_tokens: int
    batch_rows: int

    def outputs(self, rows: EncodedRows, picked: np.ndarray) -> Outputs:
        """Outputs of the picked rows, in batches of like length, within `batch_tokens` and `batch_rows`."""
        batches = self.batches(rows.steps[picked])
        return in_order(batches, [self._run(rows.batch(picked[batch])) for batch in batches], rows, picked)

    def batches(self, steps: np.ndarray) -> list[np.ndarray]:
        """Which rows of so many steps are computed together.

        A network that is quick with small batches has dear steps: of padding it is given little.
        """
        return length_batches(steps, self.batch_tokens, self.batch_rows, self.batch_tokens // _PADDING)

    def _run(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        outputs: np.ndarray = self.session.run(None, {name: tensors[name] for name in self.tensors})[0]
        return outputs


@dataclass(frozen=True)
class Model:
    """A bundle that is ready to answer. Safe to use from several threads."""

    folder: Path
    manifest: Manifest
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    network: Graph
    first: Graph | None = None  # the small network of a cascade
    threads: int | None = None  # as it was loaded with, and so is `policy`
    policy: InputPolicy | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A model is its folder: another process loads it again from there."""
        return load, (self.folder.absolute(), self.threads, self.policy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """Itself, for nothing in it ever changes."""
        return self

    def predict(self, rows: Sequence[Mapping[str, Any]], top: int = 1) -> Predictions:
        """Answer rows; what a row lacks counts as missing. With `top` above 1, the best answers of each row too.

        Raises TrimtabError when no row has a column that cannot be done without, with the nearest name.
        """
        rows = listed(rows)
        if top < 1:
            raise problem("top", f"found {top}", "a whole number from 1 on")
        absent = check_names(self.inputs, _names(rows)) if rows else []
        found = self.answered({c.name: [row.get(c.name) for row in rows] for c in self.inputs})
        _check_possible(self.inputs, found.problems)
        problems = (*(_absent(name, rows[0]) for name in absent), *found.problems)
        return Predictions(found.outputs, self.output.decode(found.outputs, top), problems, found.early)

    def outputs(self, values: Mapping[str, Sequence[Any]]) -> Outputs:
        """The network's outputs, float32; `values` maps each input column's name to its raw values."""
        return self.answered(values).outputs

    def answered(self, values: Mapping[str, Sequence[Any]]) -> Answered:
        """The network's outputs, and what was wrong with the values that it was given."""
        count, size = len(values[self.inputs[0].name]), _ENCODED * most_rows(self.inputs)
        if count <= size:
            return self._computed(values)
        starts = range(0, count, size)
        cut = ({c.name: values[c.name][start : start + size] for c in self.inputs} for start in starts)
        parts = [(start, self._computed(part)) for start, part in zip(starts, cut, strict=True)]
        problems = (replace(one, row=start + one.row) for start, part in parts for one in part.problems)
        early = [part.early for _, part in parts if part.early is not None]
        outputs = joined([part.outputs for _, part in parts])
        return Answered(outputs, tuple(problems), np.concatenate(early) if early else None)

    def _computed(self, values: Mapping[str, Sequence[Any]]) -> Answered:
        rows, problems = read_rows(self.inputs, values)
        every = np.arange(len(rows))
        if not len(rows):
            return Answered(self._none(), problems)
        if self.first and self.manifest.cascade:
            outputs, early = _cascaded(self.first, self.network, self.manifest.cascade, rows, every)
            return Answered(outputs, problems, early)
        return Answered(self.network.outputs(rows, every), problems)

    def _none(self) -> Outputs:
        nothing = np.empty((0, self.output.width), np.float32)
        return ragged([], nothing) if self.output.per_place else nothing


def _cascaded(
    first: Graph, network: Graph, cascade: Cascade, rows: EncodedRows, every: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the first network where it is sure, else of the other; and where it was."""
    outputs = dense(first.outputs(rows, every))
    early = sureness(outputs) >= cascade.threshold
    outputs *= np.float32(cascade.scale)
    late = np.flatnonzero(~early)
    if len(late):
        outputs[late] = network.outputs(rows, late)
    return outputs, early


def sureness(outputs: np.ndarray) -> np.ndarray:
    """The probability of the likeliest class by the softmax of its logits, (rows, classes) -> (rows,), float64."""
    logits = np.asarray(outputs, np.float64)
    return np.asarray(1.0 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1))


# ------------------------------------------------------------------------------------------------------- loading


def load(folder: Path | str, threads: int | None = None, policy: InputPolicy | None = None) -> Model:
    """Load a bundle: serving files are checked against the manifest, and some golden rows are replayed.

    `threads` is what one batch is computed with; default: the cores that this process may use. `policy` says what the
    values of pictures and sounds may be; default: also files of this machine, up to 50 megapixels.
    Raises TrimtabError for what is not a whole bundle, and for a machine that computes other answers.
    """
    path = Path(folder)
    manifest = store.read_manifest(path)
    networks: dict[str, Manifest | Cascade] = {store.MODEL: manifest}
    if manifest.cascade:
        networks[store.FIRST] = manifest.cascade
    with ThreadPoolExecutor(3) as pool:  # two of the three leave the interpreter free
        checked = pool.submit(store.check_files, path, manifest, store.serving_files(manifest))
        sessions = [pool.submit(open_session, path / name, threads or usable_cores()) for name in networks]
        columns = pool.submit(store.load_columns, path / store.COLUMNS, manifest)
        checked.result()  # a changed byte is named before what it breaks
        inputs, output = columns.result()
        accepting = tuple(column.accepting(policy or InputPolicy()) for column in inputs)
        most = most_rows(inputs)
        graphs = {
            name: Graph(session.result(), tuple(entry.tensors), entry.batch_tokens, entry.batch_rows or most)
            for session, (name, entry) in zip(sessions, networks.items(), strict=True)
        }
        network, first = graphs[store.MODEL], graphs.get(store.FIRST)
        model = Model(path, manifest, accepting, output, network, first, threads, policy)
    replay(model, islice(read_golden(path), _GOLDEN_AT_LOAD))
    return model


def most_rows(inputs: Sequence[InputColumn]) -> int:
    """Rows that one batch may have by the size of what is read, where a bundle does not say it."""
    numbers = sum(column.fixed_numbers for column in inputs)
    return _LARGEST if not numbers else min(_LARGEST, max(1, _NUMBERS // numbers))


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A network's file, opened as it is served."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning burn the cores that a server shares: 150 rows per CPU second against 240 without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only: what it warns of is nothing that a user could change
    try:
        weights = _linked_weights(path)
        if weights:
            options.add_external_initializers_from_files_in_memory([f"{path.name}.data"], [weights], [len(weights)])
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's errors have no common base
        said = " ".join(str(error).split())[:300]
        raise problem(str(path), f"ONNX Runtime {onnxruntime.__version__} cannot load it ({said})") from error


def _linked_weights(path: Path) -> bytes:
    """The weights of a model where a link leads to another folder, from which ONNX Runtime reads none; else nothing.

    Caches and deployment tools lay out a folder as links to files elsewhere.
    """
    data = path.with_name(f"{path.name}.data")
    outside = data.is_symlink() and data.resolve().parent != path.resolve().parent
    return data.read_bytes() if outside else b""


def usable_cores() -> int:
    """Cores that this process may use: its CPU affinity, and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control groups, or "max"
        return cores


# ---------------------------------------------------------------------------------------------------------- rows


def check_names(inputs: Sequence[InputColumn], names: Iterable[str]) -> list[str]:
    """Compare the columns of some rows with the model's inputs; returns the inputs that will count as missing.

    Raises TrimtabError when one is lacking that cannot be done without, or when all are.
    """
    given = set(names)
    absent = [column for column in inputs if column.name not in given]
    needed = [column for column in absent if not column.imputes or len(absent) == len(inputs)]
    if needed:
        raise problem("rows", f"no column named {needed[0].name!r}", nearest(needed[0].name, given) or "(no columns)")
    return [column.name for column in absent]


def _absent(name: str, row: Mapping[str, Any]) -> Problem:
    return Problem(name, 0, "absent", f"no row has a column {name!r}, but {nearest(name, map(str, row))}")


def _check_possible(inputs: Sequence[InputColumn], problems: Sequence[Problem]) -> None:
    """Raises TrimtabError for values of types that can never be read, such as a number for a picture."""
    never = [one for one in problems if one.never]
    if never:
        more = f" (and {len(never) - 1:,} more)" if len(never) > 1 else ""
        allowed = next(column.allowed for column in inputs if column.name == never[0].column)
        raise problem(f"row {never[0].row}: {never[0].column}", f"{never[0].reason}{more}", allowed)


def listed(rows: Any) -> list[Mapping[str, Any]]:
    """The rows as a list. Raises TrimtabError for what holds no rows."""
    allowed = 'a list of rows, each a mapping from column to value: [{"column": value}]'
    if isinstance(rows, Mapping):
        raise problem("rows", f"found one mapping, with {', '.join(map(repr, rows))}"[:200], allowed)
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise problem("rows", f"found {rows!r:.80}", allowed)
    if isinstance(getattr(rows, "columns", None), Iterable):  # a data frame
        do = 'frame.to_dict("records") of pandas, frame.to_dicts() of polars'
        raise problem("rows", f"found a table of type {type(rows).__name__}", allowed, do)
    return list(rows)


def _names(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The columns that any of the rows has."""
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise problem(f"row {place}", f"found {row!r:.80}", 'a mapping from column to value: {"column": value}')
    return {name for name in set().union(*rows) if isinstance(name, str)}


def gathered(inputs: Sequence[InputColumn], rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, list[Any]]:
    """The inputs' raw values of some rows; the path of a file is relative to `folder`, where the rows came from."""
    return {c.name: [c.located(row.get(c.name), folder) for row in rows] for c in inputs}


# -------------------------------------------------------------------------------------------------------- golden


class Replayed(NamedTuple):
    """How many golden rows were replayed, and the largest difference to their stored outputs."""

    rows: int
    difference: float


def record_golden(model: Model, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their exact outputs, each answered alone, as `golden.jsonl` keeps them.

    Alone, so that only how numbers are rounded can differ elsewhere. Rows so near to a cascade's threshold that another
    machine might ask its other network are left out.
    """
    kept = [{c.name: _plain(c.portable(row.get(c.name))) for c in model.inputs} for row in rows]
    return [{"row": row, "outputs": _alone(model, row).tolist()} for row in kept if _settled(model, row)]


def _settled(model: Model, row: Mapping[str, Any]) -> bool:
    """Whether the same network of a cascade answers the row where numbers are rounded a little differently."""
    if not (model.first and model.manifest.cascade):
        return True
    rows = encode_rows(model.inputs, {column.name: [row.get(column.name)] for column in model.inputs})
    found = sureness(dense(model.first.outputs(rows, np.arange(1))))[0]
    sides = np.clip([found, model.manifest.cascade.threshold], 1e-12, 1 - 1e-12)
    odds = np.log(sides / (1 - sides))
    return bool(abs(odds[0] - odds[1]) > _SETTLED * model.manifest.tolerance)


def replay(model: Model, lines: Iterable[Mapping[str, Any]]) -> Replayed:
    """Answer golden rows again.

    Raises TrimtabError when an output lies further from the stored one than the manifest's `tolerance`.
    """
    count, largest = 0, 0.0
    for count, line in enumerate(lines, 1):
        expected = np.array(line["outputs"], np.float64)
        found = _alone(model, line["row"])
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else math.inf
        if not difference <= model.manifest.tolerance:  # NaN is no agreement
            said = f"golden row {count} is answered differently here, by {difference:.2g}"
            allowed = f"a difference up to {model.manifest.tolerance:g}"
            raise problem(str(model.folder), said, allowed, _OTHER_ANSWERS)
        largest = max(largest, difference)
    return Replayed(count, largest)


def read_golden(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a bundle's `golden.jsonl`; none where the bundle has no such file."""
    path = folder / store.GOLDEN
    if path.is_file():
        with files.reading(str(path)), path.open(encoding="utf-8") as stream:
            yield from (json.loads(line) for line in stream)


def write_golden(folder: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write `golden.jsonl`."""
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    files.write(folder / store.GOLDEN, text)


def _alone(model: Model, row: Mapping[str, Any]) -> np.ndarray:
    """The outputs of one row, (width,) or (places, width)."""
    return model.outputs({column.name: [row.get(column.name)] for column in model.inputs})[0]


def _plain(value: Any) -> Any:
    """A raw value as JSON can hold it, such that columns read the same in it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
