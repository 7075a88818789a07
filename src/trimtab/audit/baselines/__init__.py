"""Baselines: answers that cost nothing. Without them nobody knows what the large model is worth.

One file for each way in which simple models learn answers; the folder is the registry, and a type of output names its
way (`OutputColumn.baselines`). A file has `answers(inputs, train, test, output, seed)`: the name of each baseline and
its answers to the test rows. All learn from the same training rows and are measured on the same test rows by the same
functions as the network.
"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab import registry
from trimtab.audit.quality import of_answers
from trimtab.bundle.manifest import Measured
from trimtab.columns import InputColumn, OutputColumn
from trimtab.data.table import Table

Baselines = dict[str, dict[str, Measured]]


def baselines(inputs: Sequence[InputColumn], train: Table, test: Table, output: OutputColumn, seed: int) -> Baselines:
    """Name of each baseline -> its metrics on the test rows, as `quality.measure` gives them for the network.

    Nothing for a type of output that names no way to learn it: the card says so.
    """
    if output.baselines is None:
        return {}
    learn = registry.load(__name__, output.baselines, "answers", f"the baselines of {output.type}")
    users = test.of(output.user)
    found = learn(inputs, train, test, output, seed)
    return {
        name: of_answers(given, len(test), output.width, seed, users=users, weights=test.weights)
        for name, given in found.items()
    }
