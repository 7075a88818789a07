"""What the bundle costs to serve on this machine: size, latency, throughput, memory."""

from __future__ import annotations

from trimtab.audit import cost
from trimtab.checks import Context, Finding

FIRST = True  # it measures time


def check(context: Context) -> Finding:
    """Each cost, measured on the test rows."""
    return Finding(cost.cost(context.model, context.rows, seed=context.seed))
