"""What the bundle costs to serve on this machine: size, latency, throughput, memory."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab.audit import cost
from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, Finding
from trimtab.page import Section, Table, figures

FIRST = True  # it measures time
PLACE = 3


def check(context: Context) -> Finding:
    """Each cost, measured on the test rows."""
    return Finding(cost.cost(context.model, context.rows, seed=context.seed))


def sections(manifest: Manifest) -> Iterator[Section]:
    """The costs, and the machine that they hold for."""
    machine = tuple((name.replace("_", " "), str(value)) for name, value in manifest.machine.items() if value)
    costs = figures.table({name: found for name, found in manifest.measured.items() if figures.is_cost(found)})
    yield Section("Cost", (costs, Table(("measured on", ""), machine)))


def limits(manifest: Manifest) -> Iterator[str]:
    """What time and memory depend on."""
    yield "Time and memory hold for the machine named above; another processor computes faster or slower."
