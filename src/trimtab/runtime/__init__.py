"""Rows to predictions: columns encode, ONNX Runtime computes, the output column decodes. There is no other path."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from trimtab import files, programs
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.bundle.serving import Serving
from trimtab.columns import (
    EncodedRows,
    InputColumn,
    InputPolicy,
    OutputColumn,
    Outputs,
    Targets,
    encode_rows,
    joined,
    no_outputs,
    read_rows,
)
from trimtab.errors import nearest, problem
from trimtab.programs import Begun, Decoding, Program, Ran, Said, Writer
from trimtab.runtime._answers import Answered, Answering, Predictions
from trimtab.runtime._device import CPU, providers
from trimtab.runtime._golden import apart, as_json, plain
from trimtab.runtime._graphs import Beside, Graph, most_rows, open_graphs, open_session, usable_cores
from trimtab.runtime._pieces import Pieces
from trimtab.runtime._rows import absent_columns, check_names, check_possible, gathered, listed, names_of
from trimtab.values.problems import Problem

__all__ = [
    "Answered",
    "Answering",
    "Begun",
    "Beside",
    "Decoding",
    "Graph",
    "Model",
    "Pieces",
    "Predictions",
    "Replayed",
    "Said",
    "Writer",
    "absent_columns",
    "check_names",
    "gathered",
    "listed",
    "load",
    "most_rows",
    "open_graphs",
    "open_session",
    "opened",
    "put_together",
    "read_golden",
    "record_golden",
    "replay",
    "usable_cores",
    "write_golden",
]  # fmt: skip

_OTHER_ANSWERS = "make the bundle again on this machine, or serve it where it was made: see `trimtab inspect`"
_SETTLED = 3.0  # tolerances by which a golden row's outputs may be off without other networks being asked
_ENCODED = 16  # batches whose rows are encoded at a time
_GOLDEN_TOKENS = 16  # of a golden answer that is written
_GOLDEN_AT_LOAD = 3  # golden rows replayed at every load; `verify` replays all of them


@dataclass(frozen=True)
class Model:
    """Networks that are ready to answer, from a bundle or in memory. Safe to use from several threads."""

    serving: Serving
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    graphs: Mapping[str, Graph]
    program: Program
    folder: Path | None = None  # the bundle; None: it is in memory alone
    threads: int | None = None  # as it was loaded with, and so are `policy` and `device`
    policy: InputPolicy | None = None
    device: str = CPU

    def __reduce__(self) -> tuple[Any, ...]:
        """A model is its folder: another process loads it again from there."""
        return load, (self._home().absolute(), self.threads, self.policy, self.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """Itself, for nothing in it ever changes."""
        return self

    def _home(self) -> Path:
        if self.folder is None:
            raise problem("model", "it is in memory alone", do="save it as a bundle, and load that")
        return self.folder

    @property
    def manifest(self) -> Manifest:
        """How its bundle was made, and what was measured; read from `manifest.json`, which answering does not need."""
        return store.read_manifest(self._home())

    def replace(self, name: str, graph: Graph) -> Self:
        """The same with another graph of that name: another network, or other batches."""
        entries = {**self.serving.graphs, name: graph.entry}
        serving = self.serving.model_copy(update={"graphs": entries})
        return replace(self, serving=serving, graphs={**self.graphs, name: graph})

    @property
    def unmitigated(self) -> Self | None:
        """The same with one cut for all groups of people; None where it has no other."""
        return None if self.program.inner is None else replace(self, program=self.program.inner)

    def predict(self, rows: Sequence[Mapping[str, Any]], top: int = 1) -> Predictions:
        """Answer rows; what a row lacks counts as missing. With `top` above 1, the best answers of each row too.

        Raises TrimtabError when no row has a column that cannot be done without, with the nearest name, and for values
        that could never be read.
        """
        rows = listed(rows)
        if top < 1:
            raise problem("top", f"found {top}", "a whole number from 1 on")
        absent = check_names(self.inputs, names_of(rows)) if rows else []
        found = self.answer(rows, top)
        check_possible(self.inputs, found.problems)
        return replace(found, problems=(*_lacking(absent, rows), *found.problems))

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[EncodedRows, tuple[Problem, ...]]:
        """Rows as the networks take them, with what `predict` tells of them; raises what it raises.

        All of them are read at once: a server hands over few, and `answered` takes them from here.
        """
        absent = check_names(self.inputs, names_of(rows)) if rows else []
        encoded, problems = read_rows(self.inputs, {c.name: [row.get(c.name) for row in rows] for c in self.inputs})
        check_possible(self.inputs, problems)
        return encoded, (*_lacking(absent, rows), *problems)

    @property
    def most_read(self) -> int:
        """Rows that `predict` reads at once: those of more are told of part by part."""
        return _ENCODED * most_rows(self.inputs)

    def answer(self, rows: Sequence[Mapping[str, Any]], top: int = 1, folder: Path | None = None) -> Predictions:
        """Answer rows as they are, and say what is wrong with their values; nothing is refused.

        With `folder`, the names of files in the rows are relative to it.
        """
        values = {column.name: [row.get(column.name) for row in rows] for column in self.inputs}
        found = self.answered(values if folder is None else gathered(self.inputs, rows, folder))
        return Predictions(found.outputs, self.output.decode(found.outputs, top), found.problems, found.early)

    def outputs(self, rows: EncodedRows | Mapping[str, Sequence[Any]]) -> Outputs:
        """The network's outputs, float32, of rows as `answered` takes them."""
        return self.answered(rows).outputs

    def answered(self, rows: EncodedRows | Mapping[str, Sequence[Any]]) -> Answered:
        """The network's outputs, and what was wrong with the values that it was given.

        Rows are encoded already, by columns like the model's, or each input column's name is mapped to its raw values.
        """
        if isinstance(rows, EncodedRows):
            found = self._ran(rows)
            return Answered(found.outputs, (), found.early)
        count, size = len(rows[self.inputs[0].name]), self.most_read
        if count <= size:
            return self._read(rows)
        starts = range(0, count, size)
        cut = ({c.name: rows[c.name][start : start + size] for c in self.inputs} for start in starts)
        parts = [(start, self._read(part)) for start, part in zip(starts, cut, strict=True)]
        problems = (replace(one, row=start + one.row) for start, part in parts for one in part.problems)
        early = [part.early for _, part in parts if part.early is not None]
        outputs = joined([part.outputs for _, part in parts])
        return Answered(outputs, tuple(problems), np.concatenate(early) if early else None)

    def of_entries(self, values: Sequence[Any]) -> np.ndarray:
        """The vectors of entries of a gallery, (entries, width) float32, by the network that reads these.

        Raises TrimtabError for a bundle whose answers come from none.
        """
        column = self.output.learnt_as
        if column is None:
            raise problem("gallery", "the answers of this bundle come from none", "a bundle with an output of entries")
        size = _ENCODED * most_rows([column])
        cut = (values[start : start + size] for start in range(0, max(1, len(values)), size))
        parts = [self.program.of_entries(self._answering, encode_rows([column], {column.name: part})) for part in cut]
        return np.concatenate(parts)

    def indexed(self, entries: Sequence[Any], names: Sequence[Any] | None = None) -> Self:
        """The same, its answers these entries; `names` is what it calls them. In memory: `trimtab index` keeps it.

        By default texts are called by themselves, and files by their path from the folder that holds all of them.
        Raises what `of_entries` raises.
        """
        return replace(self, output=self.output.in_gallery(entries, self.of_entries(entries), names))

    def judged(self, outputs: Outputs, rows: EncodedRows | Mapping[str, Sequence[Any]], targets: Targets) -> Outputs:
        """The outputs of rows with how likely their right answers were, where a program can tell (`Program.scored`)."""
        if not self.program.writes:
            return outputs
        encoded = rows if isinstance(rows, EncodedRows) else encode_rows(self.inputs, rows)
        given = self.program.scored(self._answering, encoded, self.output.ids_of(targets))
        return self.output.judged(outputs, given)

    def _read(self, values: Mapping[str, Sequence[Any]]) -> Answered:
        rows, problems = read_rows(self.inputs, values)
        found = self._ran(rows)
        return Answered(found.outputs, problems, found.early)

    def _ran(self, rows: EncodedRows) -> Ran:
        return self.program.run(self._answering, rows) if len(rows) else Ran(no_outputs(self.output.tensors))

    @property
    def _answering(self) -> dict[str, Answering]:
        return {name: Answering(graph, self.output) for name, graph in self.graphs.items()}

    # ------------------------------------------------------------------------------------- answers that are written

    @property
    def writes(self) -> bool:
        """Whether answers are written token by token: what stands below is of such bundles alone."""
        return self.program.writes

    def writing(self, **options: Any) -> Self:
        """The same, its answers written otherwise: `beams`, `temperature`, `top_p`, `longest`, `stop` ...

        See `programs.Decoding`. Raises TrimtabError for what there is not, and where nothing is written.
        """
        return replace(self, program=self.program.decoding(options))

    def stream(self, row: Mapping[str, Any], **options: Any) -> Iterator[str]:
        """The answer to one row, piece by piece, as it is written; `options` as for `writing`.

        With several beams nothing can be told before the end: one answer is followed, unless `beams` asks for more.
        Raises what `predict` and `writing` raise.
        """
        model = self.writing(**({"beams": 1} | options))
        rows, _ = model.read([row])
        return model.pieces(rows)

    def pieces(self, rows: EncodedRows) -> Iterator[str]:
        """The answer to a row that is read, piece by piece."""
        told = Pieces(self.output.text, self.program.options.stop, self.output.verbatim)
        for said in self.program.stream(self._answering, rows):
            if piece := told.add(said):
                yield piece

    def conversed(self, rows: EncodedRows, answers: Sequence[str]) -> EncodedRows:
        """Rows that are the questions of a conversation, read, and the answers to all but the last, as one row.

        Raises TrimtabError for a bundle that was not made for conversations.
        """
        return self.program.turns(rows, [self.output.spelt(text) for text in answers])

    def writer(self) -> Writer:
        """What writes rows that come and go; `begun` makes them ready."""
        return self.program.writer(self._answering)

    def reading_costs(self, rows: EncodedRows) -> np.ndarray:
        """What it costs to read each row, (rows,), in steps."""
        return self.program.costs(self._answering, rows)

    def begun(self, rows: EncodedRows) -> Begun:
        """Rows, read by the networks, so that a writer may go on with them."""
        return self.program.begun(self._answering, rows, np.arange(len(rows)))

    def settled(self, row: Mapping[str, Any]) -> bool:
        """Whether the same networks answer the row where numbers are rounded a little differently."""
        rows = encode_rows(self.inputs, {column.name: [row.get(column.name)] for column in self.inputs})
        return bool(self.program.settled(self._answering, rows, _SETTLED * self.serving.tolerance)[0])


def _lacking(absent: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """What is told of inputs that no row has, at the first row."""
    told = [f"no row has a column {name!r}, but {nearest(name, map(str, rows[0]))}" for name in absent]
    return [Problem(name, 0, "absent", why) for name, why in zip(absent, told, strict=True)]


# ------------------------------------------------------------------------------------------------------- loading


def load(folder: Path | str, threads: int | None = None, policy: InputPolicy | None = None, device: str = CPU) -> Model:
    """Load a bundle: serving files are checked against the manifest, and some golden rows are replayed.

    `threads` is what one batch is computed with; default: the cores that this process may use. `policy` says what the
    values of pictures and sounds may be; default: also files of this machine, up to 50 megapixels. `device` is `cpu`,
    `cuda` or `cuda:N`, which needs onnxruntime-gpu.
    Raises TrimtabError for what is not a whole bundle, for a machine that computes other answers, and for a device that
    there is not.
    """
    path = Path(folder)
    providers(device)  # what is missing is said before anything is read
    serving = store.read_serving(path)
    with ThreadPoolExecutor(3) as pool:  # two of the three leave the interpreter free
        checked = pool.submit(store.check_files, path, serving, store.serving_files(serving))
        opened = pool.submit(open_graphs, path, serving, threads, device)
        columns = pool.submit(store.load_columns, path / store.COLUMNS, serving)
        checked.result()  # a changed byte is named before what it breaks
        model = put_together(serving, *columns.result(), opened.result(), path, threads, policy)
    model = replace(model, device=device)
    replay(model, islice(read_golden(path), _GOLDEN_AT_LOAD))
    return model


def opened(folder: Path, serving: Serving) -> Model:
    """The model of a folder in which a bundle is made: nothing is checked or replayed."""
    inputs, output = store.load_columns(folder / store.COLUMNS, serving)
    return put_together(serving, inputs, output, open_graphs(folder, serving), folder)


def put_together(
    serving: Serving,
    inputs: Sequence[InputColumn],
    output: OutputColumn,
    graphs: Mapping[str, Graph],
    folder: Path | None = None,
    threads: int | None = None,
    policy: InputPolicy | None = None,
) -> Model:
    """A model of parts that are in memory; nothing is read, checked or replayed.

    Raises TrimtabError for a program that is not known, or that needs a graph which is not there.
    """
    where = str(folder or "model")
    program = programs.opened(serving.program.name, serving.program.options, graphs, where)
    accepting = tuple(column.accepting(policy or InputPolicy()) for column in inputs)
    return Model(
        serving, accepting, output.accepting(policy or InputPolicy()), graphs, program, folder, threads, policy
    )


# -------------------------------------------------------------------------------------------------------- golden


class Replayed(NamedTuple):
    """How many golden rows were replayed, and the largest difference to their stored outputs."""

    rows: int
    difference: float


def record_golden(model: Model, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their exact outputs, each answered alone, as `golden.jsonl` keeps them.

    Alone, so that only how numbers are rounded can differ elsewhere. Rows that another machine might answer by other
    networks are left out.
    """
    model = _briefly(model)
    kept = [{c.name: plain(c.portable(row.get(c.name))) for c in model.inputs} for row in rows]
    return [{"row": row, "outputs": as_json(_alone(model, row))} for row in kept if model.settled(row)]


def replay(model: Model, lines: Iterable[Mapping[str, Any]]) -> Replayed:
    """Answer golden rows again.

    Raises TrimtabError when an output lies further from the stored one than the bundle's `tolerance`.
    """
    model = _briefly(model)
    count, largest = 0, 0.0
    for count, line in enumerate(lines, 1):
        difference = apart(_alone(model, line["row"]), line["outputs"])
        if not difference <= model.serving.tolerance:  # NaN is no agreement
            said = f"golden row {count} is answered differently here, by {difference:.2g}"
            allowed = f"a difference up to {model.serving.tolerance:g}"
            raise problem(str(model.folder or "model"), said, allowed, _OTHER_ANSWERS)
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


def _briefly(model: Model) -> Model:
    """The model, of whose written answers the likeliest beginning is enough: a bundle is to be loaded in no time."""
    if not model.writes:
        return model
    asked = model.program.options
    same = asked.longest <= _GOLDEN_TOKENS and not asked.temperature  # what is drawn hangs on the last digit
    return model if same else model.writing(longest=min(asked.longest, _GOLDEN_TOKENS), temperature=0)


def _alone(model: Model, row: Mapping[str, Any]) -> np.ndarray | dict[str, np.ndarray]:
    """The outputs of one row, (width,) or (positions, width); by name, where there are several."""
    return model.outputs({column.name: [row.get(column.name)] for column in model.inputs})[0]
