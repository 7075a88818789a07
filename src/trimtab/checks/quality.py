"""How good the answers are: every metric of the type, with its interval, and what stands behind them."""

from __future__ import annotations

from trimtab.audit import quality
from trimtab.checks import Context, Finding


def check(context: Context) -> Finding:
    """The metrics of the served answers to the test rows; the evidence that their type has."""
    found = quality.measure(
        context.output,
        context.targets,
        context.outputs,
        context.seed,
        users=context.test.of(context.output.user),
        asked=context.gates,
        weights=context.test.weights,
    )
    return Finding(found, context.output.evidence(context.targets, context.outputs, context.rows))
