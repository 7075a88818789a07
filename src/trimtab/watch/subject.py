"""What is watched: a bundle, what it was measured to be, and how its features are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from trimtab import spec as specs
from trimtab.bundle import reference, store
from trimtab.bundle.manifest import Measured
from trimtab.columns import OUTPUTS, InputColumn, OutputColumn, bucket
from trimtab.runtime import Model
from trimtab.spec import Gate
from trimtab.watch import baseline as baselines
from trimtab.watch.baseline import Baseline, Feature

_WORDS = {
    "length": "length",
    "unknown": "share of unknown tokens",
    "typicality": "how usual its tokens are",
    "missing": "missing or not",
    "value": "value",
    "contrast": "contrast",
    "familiarity": "how familiar rows are",
    "size": "how many are answered",
}
_NAMED = 4  # tokens of a bucket that are named, the most frequent ones
CLASSIFIER = "all columns together"


@dataclass(frozen=True)
class Subject:
    """A bundle that is watched."""

    name: str
    hash: str
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    baseline: Baseline | None  # None: of an earlier Trimtab, or one that is given otherwise
    gates: tuple[Gate, ...] = ()
    measured: Mapping[str, Measured] = field(default_factory=dict)
    token_counts: Mapping[str, np.ndarray] = field(default_factory=dict)  # of training, by the column's key

    @classmethod
    def of(cls, model: Model) -> Subject:
        """Of a bundle; one without its manifest is watched without its gates."""
        folder = model.folder
        if folder is None:
            return cls("model", model.serving.hash, model.inputs, model.output, None)
        path = folder / store.REFERENCE
        manifest = model.manifest if store.is_whole(folder) else None
        gates = tuple(specs.parse_gates(dict(manifest.spec.get("gates") or {}))) if manifest else ()
        measured, name = (dict(manifest.measured), manifest.name) if manifest else ({}, folder.name)
        kept = {column.key: reference.of(path, column.key) for column in model.inputs}
        counts = {key: found["counts"] for key, found in kept.items() if "counts" in found}
        hash, found = model.serving.hash, baselines.read(path)
        return cls(name, hash, model.inputs, model.output, found, gates, measured, counts)

    @cached_property
    def _columns(self) -> dict[str, InputColumn]:
        return {column.key: column for column in self.inputs}

    def column_name(self, feature: Feature) -> str:
        """What the user calls the column of a feature."""
        if feature.column == OUTPUTS:
            return self.output.name
        found = self._columns.get(feature.column)
        return found.name if found else feature.column

    def words(self, feature: Feature) -> str:
        """What a feature is, for people."""
        part = feature.name.partition(".")[2]
        if feature.column == OUTPUTS:
            if feature.kind == "share":
                return f"share of {self._class(feature.place)}"
            return "answer" if part in (self.output.name, "mean") else _WORDS.get(part, part)
        if feature.kind == "share":
            return f"share of {self._tokens(feature)}"
        return _WORDS.get(part, part.replace("_", " "))

    def bin_words(self, feature: Feature, place: int) -> str:
        """What the rows of one bin have in common, for people."""
        if feature.kind == "id":
            if place >= len(feature.ids):
                return "another"
            return self._id(feature, feature.ids[place])
        edges = feature.edges
        if place > len(edges) or not edges:
            return "none" if place > len(edges) else "there"
        if place == 0:
            return f"up to {edges[0]:.4g}"
        return f"above {edges[-1]:.4g}" if place == len(edges) else f"{edges[place - 1]:.4g} to {edges[place]:.4g}"

    def _id(self, feature: Feature, id: int) -> str:
        part = feature.name.partition(".")[2]
        if feature.column == OUTPUTS:
            return self._class(id)
        if part == "missing":
            return "missing" if id else "there"
        found = self._columns.get(feature.column)
        return found.sketch_word(id) if found else str(id)

    def _class(self, place: int) -> str:
        classes = self.output.classes
        return repr(classes[place]) if 0 <= place < len(classes) else "(withheld)"

    def _tokens(self, feature: Feature) -> str:
        """The tokens of training that a bucket counts, the most frequent ones."""
        counts = self.token_counts.get(feature.column, np.zeros(0, np.int64))
        ids = np.flatnonzero((bucket(np.arange(len(counts))) == feature.place) & (counts > 0))
        first = ids[np.argsort(-counts[ids], kind="stable")[:_NAMED]]
        column = self._columns.get(feature.column)
        named = ", ".join(repr(column.sketch_word(int(id))) for id in first) if column else ""
        return f"{named} and others" if named else f"tokens of bucket {feature.place}"
