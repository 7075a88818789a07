"""Entries of a gallery as answers: those that lie nearest to a row in a space that both are read into."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from trimtab import columns, files, part_options
from trimtab.columns import (
    OUTPUTS,
    InputColumn,
    InputPolicy,
    Named,
    OutputColumn,
    Outputs,
    OutputTensor,
    Targets,
    dense,
)
from trimtab.errors import problem
from trimtab.metrics import Kind, Retrieved, first, ranks
from trimtab.values import parse

ENTRY = "entry"  # the tensor of the right entry's vector, which a network gives while it learns
_NOT_OF_COLUMNS = ("type", "encoder", "base", "augment")  # what a spec says of an input beside its type's own options
_DECIMALS = 4  # of a similarity
_BLOCK_CELLS = 20_000_000  # similarities that are held at a time


class Options(part_options.Options):
    """What may be set on an output whose answers are entries of a gallery."""

    of: str | dict[str, Any] | None = Field(
        None,
        description="What the entries are, said as of an input: a type, or a mapping with its options, encoder and "
        "base: `{type: image, size: 32, encoder: cnn}`. Default: told by the values.",
    )
    dimensions: int = Field(128, ge=8, le=4096, description="Numbers of the vectors that are compared.")


@dataclass(frozen=True, eq=False)
class Gallery:
    """Entries that can be answered."""

    names: Sequence[str]  # as answers call them
    ids: np.ndarray  # (entries,) int64, of their content
    vectors: np.ndarray  # (entries, width) float16, of length 1

    @cached_property
    def places(self) -> Mapping[int, int]:
        """The place of each entry by its id."""
        return {one: place for place, one in enumerate(self.ids.tolist())}

    @cached_property
    def _wide(self) -> np.ndarray:
        """(width, entries) float32."""
        return np.ascontiguousarray(self.vectors.astype(np.float32).T)

    def similarities(self, vectors: np.ndarray) -> np.ndarray:
        """The cosine of each row with each entry, (rows, entries) float32; 0 where a vector is no number."""
        return np.asarray(np.nan_to_num(vectors.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0) @ self._wide)

    def nearest(self, vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The places of the most similar entries of each row, in order, and their cosines, both (rows, count)."""
        parts = [(first(found, count), found) for found in map(self.similarities, _blocks(vectors, len(self.ids)))]
        none = np.zeros((0, min(count, len(self.ids))))
        places = np.concatenate([none.astype(np.int64), *(best for best, _ in parts)])
        return places, np.concatenate([none, *(np.take_along_axis(found, best, axis=1) for best, found in parts)])


def _blocks(vectors: np.ndarray, entries: int) -> list[np.ndarray]:
    """Some rows at a time."""
    step = max(1, _BLOCK_CELLS // max(1, entries))
    return [vectors[start : start + step] for start in range(0, len(vectors), step)]


@dataclass(frozen=True)
class NearestColumn(OutputColumn):
    """An entry of a gallery; the network gives the vector of a row, and answers are the entries nearest to it.

    Targets are numbers of the entries' content, (rows,) int64: equal for equal entries, whatever gallery there is.
    """

    type: ClassVar[str] = "nearest"
    gallery: ClassVar[bool] = True
    kept_together: ClassVar[bool] = True
    rows_together: ClassVar[int] = 64
    open_ended: ClassVar[bool] = True
    several_right: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "entries"
    constant: ClassVar[str] = "chance"
    answers: ClassVar[Kind] = Retrieved
    headline: ClassVar[str] = "recall@1"
    tie_break: ClassVar[str | None] = "median_rank"
    name: str
    key: str
    entry: InputColumn  # how an entry is read
    dimensions: int
    entries: Gallery | None = field(default=None, compare=False, repr=False)  # None: there are none yet

    @classmethod
    def values_type(cls, options: Mapping[str, Any]) -> str:
        """See `OutputColumn.values_type`: what `of` says."""
        of = options.get("of")
        return str(of.get("type") if isinstance(of, Mapping) else of or cls.type)

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError for entries of a type that is no input's."""
        where = f"column {name!r} ({cls.type})"
        chosen = part_options.check(Options, where, options)
        of = chosen.of if isinstance(chosen.of, Mapping) else {"type": chosen.of}
        kind = columns.kind(str(of.get("type")), f"{where}: of")
        if not issubclass(kind, InputColumn) or kind.numbered:
            known = ", ".join(columns.types_of(InputColumn))
            raise problem(f"{where}: of", f"entries of type {of['type']!r}", f"a type that is read: {known}")
        own = {option: value for option, value in of.items() if option not in _NOT_OF_COLUMNS}
        return cls(name, key, kind.fit(name, key, values, own), chosen.dimensions)

    @property
    def values_kind(self) -> Any:
        """See `OutputColumn.values_kind`."""
        return type(self.entry)

    @property
    def learnt_as(self) -> InputColumn:
        """The column of the entries."""
        return self.entry

    @property
    def width(self) -> int:
        """The numbers of a vector."""
        return self.dimensions

    @property
    def taught(self) -> tuple[OutputTensor, ...]:
        """The vectors of rows, and of their right entries."""
        return OutputTensor(OUTPUTS, self.width), OutputTensor(ENTRY, self.width)

    def accepting(self, policy: InputPolicy) -> Self:
        """See `OutputColumn.accepting`."""
        return replace(self, entry=self.entry.accepting(policy))

    def in_gallery(
        self, values: Sequence[Any], vectors: np.ndarray, names: Sequence[Any] | None = None, add: bool = False
    ) -> Self:
        """See `OutputColumn.in_gallery`; files are called by their path from the folder that holds all of them."""
        ids, vectors = self.targets(values), vectors.astype(np.float16)
        called = _names(values, self.entry.from_files) if names is None else list(map(_name, names))
        if add:
            before = self._entries
            ids, called = np.concatenate([before.ids, ids]), [*before.names, *called]
            vectors = np.concatenate([before.vectors, vectors])
        rows = np.sort(np.unique(ids, return_index=True)[1])
        return replace(self, entries=Gallery(tuple(called[row] for row in rows.tolist()), ids[rows], vectors[rows]))

    @property
    def _entries(self) -> Gallery:
        """The gallery; of a column that is not in one yet, without entries: it answers nothing."""
        return self.entries or Gallery((), np.zeros(0, np.int64), np.zeros((0, self.dimensions), np.float16))

    def usable(self, value: Any) -> str | None:
        """None for an entry that can be read and, where there is a gallery, stands in it."""
        if parse.is_missing(value, text=self.entry.is_text):
            return parse.no_value(value)
        if not self.entry.is_text:  # every text can be read
            wrong = [one for one in self.entry.read([value]).problems if one.kind == "unreadable"]
            if wrong:
                return wrong[0].reason
        if self.entries is not None and self._id(value) not in self.entries.places:
            return "not in the gallery (trimtab index makes another one)"
        return None

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """The number of each entry, (rows,) int64."""
        return np.fromiter(map(self._id, values), np.int64, len(values))

    def _id(self, value: Any) -> int:
        """Eight bytes of a hash of its content; white space does not count."""
        said = self.entry.digest(value) if self.entry.from_files else " ".join(parse.label(value).split())
        digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The nearest entry and the cosine with it; with `top` above 1 that many, the nearest first."""
        gallery, word = self._entries, self._word
        places, similar = gallery.nearest(dense(outputs), max(1, top))
        cosines = np.round(similar.astype(np.float64), _DECIMALS).tolist()
        called = [[gallery.names[place] for place in row] for row in places.tolist()]
        answers: dict[str, list[Any]] = {
            name: [next(iter(row), None) for row in rows] for name, rows in ((self.name, called), (word, cosines))
        }
        if top > 1:
            answers[f"{self.name}_top"] = [
                [{self.name: entry, word: cosine} for entry, cosine in zip(*row, strict=True)]
                for row in zip(called, cosines, strict=True)
            ]
        return answers

    @property
    def _word(self) -> str:
        return "cosine" if self.name == "similarity" else "similarity"

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        number = {"type": "number", "minimum": -1.01, "maximum": 1.01}
        one: dict[str, dict[str, Any]] = {self.name: {"type": "string"}, self._word: number}
        item = {"type": "object", "properties": one, "required": list(one)}
        return {**one, f"{self.name}_top": {"type": "array", "items": item}}

    def looks(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """How similar the nearest entry is."""
        return {self._word: self._entries.nearest(dense(outputs), 1)[1][:, 0]}

    def answered(self, targets: Targets, outputs: Outputs) -> Retrieved:
        """At which place of the gallery the right entry stands; while it is learnt, among those of the same rows."""
        wanted = dense(targets)
        if isinstance(outputs, Named):
            ids, rows, places = np.unique(wanted, return_index=True, return_inverse=True)
            own = Gallery(("",) * len(ids), ids, dense(outputs.parts[ENTRY])[rows])
            vectors = dense(outputs.parts[OUTPUTS])
            return Retrieved(_placed(own, vectors, places.reshape(-1)), len(ids))
        gallery, vectors = self._entries, dense(outputs)
        right = np.array([gallery.places[one] for one in wanted.tolist()], np.int64)
        best = gallery.nearest(vectors, 1)[0][:, 0]
        called = ([gallery.names[place] for place in places.tolist()] for places in (right, best))
        return Retrieved(_placed(gallery, vectors, right), len(gallery.ids), *called)

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Retrieved:
        """The places of the right entries, (rows,) int64, counted from 1."""
        return Retrieved(np.asarray(predicted, np.int64), len(self._entries.ids))

    def balance(self, values: Sequence[Any]) -> dict[str, float]:
        """How many entries there are."""
        return {"entries": float(len(np.unique(self.targets(values))))}

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """A bound that chance misses."""
        return 'recall@5: ">= 0.5"'

    def save(self, folder: Path) -> None:
        """Write `<key>.json`, the column of the entries in `<key>.entry/` and, where there are entries, these."""
        self.write(folder, {"dimensions": self.dimensions, "indexed": self.entries is not None})
        inner = folder / f"{self.key}.{ENTRY}"
        inner.mkdir(parents=True, exist_ok=True)
        self.entry.save(inner)
        if self.entries is not None:
            files.write(folder / f"{self.key}.names.json", json.dumps([*self.entries.names], ensure_ascii=False) + "\n")
            for part in ("ids", "vectors"):
                with files.aside(folder / f"{self.key}.{part}.npy") as place, open(place, "wb") as stream:
                    np.save(stream, getattr(self.entries, part), allow_pickle=False)

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        key = state["key"]
        inner = folder / f"{key}.{ENTRY}"
        entry = columns.restore(inner, json.loads((inner / f"{key}.json").read_text(encoding="utf-8")))
        gallery = None
        if state["indexed"]:
            names = json.loads((folder / f"{key}.names.json").read_text(encoding="utf-8"))
            ids, vectors = (np.load(folder / f"{key}.{part}.npy", allow_pickle=False) for part in ("ids", "vectors"))
            if not len(names) == len(ids) == len(vectors) or vectors.shape[1:] != (state["dimensions"],):
                raise ValueError(f"{len(names)} names, ids {ids.shape}, vectors {vectors.shape}")
            gallery = Gallery(tuple(names), ids, vectors)
        return cls(state["name"], key, entry, state["dimensions"], gallery)


def _placed(gallery: Gallery, vectors: np.ndarray, right: np.ndarray) -> np.ndarray:
    """At which place the right entry of each row stands, (rows,), counted from 1."""
    parts, start = [np.zeros(0, np.int64)], 0
    for block in _blocks(vectors, len(gallery.ids)):
        parts.append(ranks(gallery.similarities(block), right[start : start + len(block)]))
        start += len(block)
    return np.concatenate(parts)


def _name(value: Any) -> str:
    """What an entry is called that stands in a cell so."""
    return parse.label(value.get("path") if isinstance(value, Mapping) else value)


def _names(values: Sequence[Any], from_files: bool) -> list[str]:
    """What entries say of themselves; what is neither a text nor a file that is there is called by its place."""
    if not from_files:
        return [parse.label(value) for value in values]
    held = [value.get("path") if isinstance(value, Mapping) else value for value in values]
    paths = [os.fspath(one) if isinstance(one, (str, os.PathLike)) and os.path.isfile(one) else None for one in held]
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths if path is not None]
    above = os.path.dirname(os.path.commonpath(folders)) if folders else ""
    return [str(place) if path is None else os.path.relpath(path, above) for place, path in enumerate(paths)]
