"""The quality lost against the uncompressed network, on the same test rows."""

from __future__ import annotations

from trimtab.audit import quality
from trimtab.bundle.manifest import Measured
from trimtab.checks import Context, Finding

NAME = "drop"


def check(context: Context) -> Finding:
    """The drop; of a bundle that is the uncompressed network itself, 0 where a gate asks for it.

    What cuts of groups of people cost is no part of it: it is told beside what they are worth.
    """
    if context.uncompressed is None and context.train is None:
        return Finding(remarks={NAME: "the network before the search is no part of the bundle: see `trimtab compare`"})
    if context.uncompressed is None:
        return Finding({NAME: Measured(value=0.0)} if NAME in context.gates else {})
    before = context.uncompressed.outputs(context.test.values)
    after = context.outputs if context.unmitigated is None else context.unmitigated
    users, weights = context.test.of(context.output.user), context.test.weights
    found = quality.drop(context.output, context.targets, before, after, context.seed, users, weights)
    return Finding({NAME: found} if found else {})
