"""Checks: what is found out about a bundle before its release; one file for each, the folder is the registry.

A file has `check(context) -> Finding`: numbers, which gates may ask for; evidence, as plain JSON for the manifest; a
section of the card. `FIRST = True` puts a check that measures time before those that keep the machine busy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trimtab import metrics, registry, runtime
from trimtab.bundle.manifest import Measured
from trimtab.columns import InputColumn, OutputColumn, Outputs, Targets
from trimtab.data.table import Table
from trimtab.nets import fitted
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Laps


@dataclass(frozen=True)
class Said:
    """A section of the card: paragraphs, and a table under them where there is a head."""

    title: str
    texts: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    measured: Mapping[str, Measured] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)  # plain JSON, by names that no other check has
    said: Sequence[Said] = ()  # beside what the card makes of evidence that it knows


@dataclass(frozen=True)
class Context:
    """What is known of a bundle: the very files that will be served, and the rows that it was made and is measured on.

    What costs something is computed when a check asks for it, once.
    """

    model: runtime.Model
    inputs: Sequence[InputColumn]
    train: Table
    test: Table
    gates: Sequence[str]  # names of what gates ask for
    seed: int
    quotes: bool = True  # whether the manifest and the card may quote rows

    @property
    def output(self) -> OutputColumn:
        """The column that is answered, as it is served."""
        return self.model.output

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The test rows as a server would receive them: inputs only."""
        names = [column.name for column in self.inputs]
        return [{name: row[name] for name in names} for row in self.test.rows()]

    @cached_property
    def outputs(self) -> Outputs:
        """The outputs of the test rows, through the runtime."""
        return self.model.outputs(self.test.values)

    @cached_property
    def targets(self) -> Targets:
        """The right answers to the test rows."""
        return self.output.targets(self.test.values[self.output.name])

    @cached_property
    def network(self) -> FittedNetwork:
        """The network in PyTorch, for checks that need gradients or hidden states."""
        if self.model.folder is None:
            raise ValueError("a model without a folder has no network in PyTorch")
        return fitted.read(self.model.folder)


def every(context: Context, laps: Laps) -> Finding:
    """What all checks found, those of answers first; `laps` learns how long each took."""
    loaded = {name: registry.module(__name__, name, f"checks/{name}.py") for name in registry.names(__name__)}
    first = sorted(loaded, key=lambda name: not getattr(loaded[name], "FIRST", False))
    found: list[Finding] = []
    for name in first:
        found.append(loaded[name].check(context))
        laps.lap(name)
    measured = {key: value for one in found for key, value in one.measured.items()}
    known = metrics.every()
    ordered = sorted(measured, key=lambda key: key in known and known[key].of_every_output)
    evidence = {key: value for one in found for key, value in one.evidence.items()}
    return Finding({key: measured[key] for key in ordered}, evidence, [said for one in found for said in one.said])
