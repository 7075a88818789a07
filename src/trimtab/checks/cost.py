"""What the bundle costs to serve on this machine: size, latency, throughput, memory."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab import runtime
from trimtab.audit import cost, price
from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, Finding
from trimtab.page import Block, Section, Table, Text, figures

FIRST = True  # it measures time
PLACE = 4
_SAYS = (
    "A million answers at {machine_per_hour:.4g} {currency} an hour for a machine like this one, used to "
    "{utilisation:.0%} of its throughput. Energy is an estimate, not measured: {cores} cores at {watts_per_core:.4g} W "
    "for the time that the answers take."
)

_LOAD = (
    "Machines for {load:,.4g} rows/s: {replicas:,}, at {per_hour:.4g} {currency} an hour, which is {price_at_load:.4g} "
    "{currency} for a million answers at that load."
)


def check(context: Context) -> Finding:
    """Each cost, measured on the test rows; with what a machine costs the price of answers too."""
    found = cost.cost(context.model, context.rows, seed=context.seed)
    if context.pricing is None:
        return Finding(found)
    rate, cores = found["throughput"].value, runtime.usable_cores()
    told = price.evidence(context.pricing, rate, cores)
    return Finding({**found, **price.priced(context.pricing, rate, cores)}, {"price": told})


def planned(context: Context) -> float:
    """See `checks`: most of its seconds are as long as they are, however many rows there are."""
    return cost.planned(context.model, context.rows)


def sections(manifest: Manifest) -> Iterator[Section]:
    """The costs, and the machine that they hold for."""
    machine = tuple((name.replace("_", " "), str(value)) for name, value in manifest.machine.items() if value)
    costs = figures.table({name: found for name, found in manifest.measured.items() if figures.is_cost(found)})
    yield Section("Cost", (costs, *_price(manifest), Table(("measured on", ""), machine, fixed=frozenset({0}))))


def _price(manifest: Manifest) -> Iterator[Block]:
    """What the price stands on, and with a load the machines for it."""
    found = manifest.evidence.get("price")
    if not found:
        return
    yield Text(_SAYS.format(**found))
    if "load" in found:
        yield Text(_LOAD.format(**found))


def limits(manifest: Manifest) -> Iterator[str]:
    """What time and memory depend on."""
    yield "Time and memory hold for the machine named above; another processor computes faster or slower."
