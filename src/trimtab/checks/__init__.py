"""Checks: what is found out about a bundle before its release; one file for each, the folder is the registry.

A file has `check(context) -> Finding`: numbers, which gates may ask for, and evidence, plain JSON for the manifest.
What the card says of them is `sections(manifest)`, worded from the manifest alone, so that nothing is stored twice and
the cards of older bundles can be written; `limits(manifest)` says what the check does not show. Both may be left out.
`FIRST = True` puts a check that measures time before those that keep the machine busy; `PLACE` is that on the card.
For the estimate of what a launch will take: `SECONDS` is the most that a check goes on for where no gate asks for it,
and `planned(context)` gives the seconds of one whose time is not that of its answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab import metrics, registry, runtime
from trimtab.audit.paired import Adapted
from trimtab.audit.price import Pricing
from trimtab.behaviour import OwnTest
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.columns import InputColumn, OutputColumn, Outputs, Targets, as_asked
from trimtab.data.table import Table
from trimtab.page import Section
from trimtab.progress import Laps, Progress, Quiet

if TYPE_CHECKING:
    from trimtab.nets.fitted import FittedNetwork


@dataclass(frozen=True)
class Finding:
    """What a check found: numbers, and evidence, of which its `sections` make words."""

    measured: Mapping[str, Measured] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)  # plain JSON, by names that no other check has
    remarks: Mapping[str, str] = field(default_factory=dict)  # what a gate says of a number, or of why there is none
    # Rows for the user's own eyes, by the name of a file that is written into the run's folder, never into the bundle.
    listed: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    # Pictures that quote rows, by the name of a plot: (rows, columns, height, width, 3) uint8.
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    why: tuple[str, ...] = ()  # reasons not to release the bundle, beside gates that are missed


@dataclass(frozen=True)
class Context:
    """What is known of a bundle: the very files that will be served, and the rows that it was made and is measured on.

    What costs something is computed when a check asks for it, once.
    """

    model: runtime.Model
    inputs: Sequence[InputColumn]  # that the network reads; `model.inputs`, that rows are answered by, may be more
    train: Table | None  # None: a bundle that is audited without the rows that it was made of
    test: Table
    gates: Sequence[str]  # names of what gates ask for
    seed: int
    quotes: bool = True  # whether the manifest and the card may quote rows
    protected: Sequence[str] = ()  # columns of the rows that say of which group a person is
    tests: Sequence[OwnTest] = ()  # of the user's own
    foreign: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # rows of another kind, of the user's own
    uncompressed: runtime.Model | None = None  # the network before a search; None where it is the model itself
    answered: Outputs | None = None  # the outputs of the test rows, where they are known already
    valid: Table | None = None  # what chose the checkpoint and the temperature; None as for `train`
    pricing: Pricing | None = None  # what a machine costs, where the spec says so
    adapted: Adapted | None = None  # of a bundle that went on learning: what it is held against

    @property
    def output(self) -> OutputColumn:
        """The column that is answered, as it is served."""
        return self.model.output

    def known(self, name: str) -> Sequence[Any]:
        """The values of a column that say where its ranges end: those of training, else those of the test rows."""
        return (self.test if self.train is None else self.train).values[name]

    @cached_property
    def splits(self) -> dict[str, Table]:
        """The rows of each split that is known and not empty: train, valid, test."""
        every = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: rows for name, rows in every.items() if rows is not None and len(rows)}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The test rows as a server would receive them: inputs only."""
        return as_asked(self.model.inputs, self.output, self.test.rows())

    @cached_property
    def outputs(self) -> Outputs:
        """The outputs of the test rows, through the runtime."""
        found = self.model.outputs(self.test.values) if self.answered is None else self.answered
        return self.model.judged(found, self.test.values, self.targets)

    @cached_property
    def unmitigated(self) -> Outputs | None:
        """The outputs of the test rows with one cut for all groups of people; None where it has no other."""
        model = self.model.unmitigated
        return None if model is None else model.outputs(self.test.values)

    @cached_property
    def targets(self) -> Targets:
        """The right answers to the test rows."""
        return self.output.targets(self.test.values[self.output.name])

    @cached_property
    def network(self) -> FittedNetwork:
        """The network in PyTorch, for checks that need gradients or hidden states."""
        if self.model.folder is None:
            raise ValueError("a model without a folder has no network in PyTorch")
        read: Callable[[Path], FittedNetwork] = registry.attribute("trimtab.nets.fitted", "read")
        return read(self.model.folder)  # without such checks neither a check nor the card needs PyTorch


def every(context: Context, laps: Laps, progress: Progress | None = None) -> Finding:
    """What all checks found, those of answers first; `laps` learns how long each took, `progress` which is at work."""
    there, progress = loaded(), progress or Quiet()
    found: list[Finding] = []
    for name in sorted(there, key=lambda name: not getattr(there[name], "FIRST", False)):
        progress.tick(len(found), len(there), {"check": name})
        found.append(there[name].check(context))
        laps.lap(name)
    measured = {key: value for one in found for key, value in one.measured.items()}
    known = metrics.every()
    families = {key: known.get(metrics.parsed(key).family) for key in measured}
    ordered = sorted(measured, key=lambda key: (one := families[key]) is not None and one.of_every_output)
    evidence = {key: value for one in found for key, value in one.evidence.items()}
    remarks = {key: value for one in found for key, value in one.remarks.items()}
    listed = {key: value for one in found for key, value in one.listed.items()}
    pictures = {key: value for one in found for key, value in one.pictures.items()}
    why = tuple(reason for one in found for reason in one.why)
    return Finding({key: measured[key] for key in ordered}, evidence, remarks, listed, pictures, why)


def sections(manifest: Manifest) -> Iterator[Section]:
    """What the checks say on the card, in the order of their PLACE."""
    for check in _in_place():
        yield from getattr(check, "sections", _nothing)(manifest)


def limits(manifest: Manifest) -> Iterator[str]:
    """What the checks say that they do not show."""
    for check in _in_place():
        yield from getattr(check, "limits", _nothing)(manifest)


def _nothing(manifest: Manifest) -> tuple[()]:
    return ()


def _in_place() -> list[ModuleType]:
    return sorted(loaded().values(), key=lambda check: getattr(check, "PLACE", math.inf))


def loaded() -> dict[str, ModuleType]:
    """Every check by its name."""
    return {name: registry.module(__name__, name, f"checks/{name}.py") for name in registry.names(__name__)}
