"""What was done so that groups of people are answered alike, and its worth on the test rows: before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.audit import quality
from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, Finding, fairness
from trimtab.columns import Outputs
from trimtab.metrics import Statistic
from trimtab.page import Block, Section, Table, Text, figures

PLACE = 2.45
_DONE, _WORTH = "mitigation", "mitigated"  # evidence of the release, and of this check
_GAPS = ("demographic_parity_gap", "equalized_odds_gap", "equal_opportunity_gap", "accuracy_gap")
_REWEIGHING = (
    "A training row weighs as much as its class would be frequent in its group if classes did not depend on groups, "
    "divided by how frequent it is (Kamiran and Calders 2012). No network was trained without these weights: its gaps "
    "are those of a launch with `mitigate: none`."
)
_THRESHOLDS = (
    "Each group has a cut of its own between the two classes: its shift is added to the logit of the second class. The "
    "shifts were chosen on {rows} validation rows, to narrow the {gap}. Groups without one have the common cut, and so "
    "has a row whose group is missing or unknown. The confidence of an answer is that of the shifted network."
)
_KEPT = "No group has a cut of its own: {why}."
_LIMIT = (
    "A cut for each group treats people by their group, which some laws forbid and others ask for: whether it may be "
    "done is not for a network to say."
)


def check(context: Context) -> Finding:
    """The gaps and the accuracy with one cut for all groups, with a cut for each, and what lies between them."""
    if context.unmitigated is None or not context.protected:
        return Finding()
    before, after = (_statistics(context, outputs) for outputs in (context.unmitigated, context.outputs))
    return Finding(evidence={_WORTH: {name: _compared(context, before[name], after[name]) for name in before}})


def _statistics(context: Context, outputs: Outputs) -> dict[str, Statistic]:
    """Accuracy, and the gaps between the groups that have cuts of their own."""
    columns: Sequence[str] = context.model.program.options.by
    right = context.output.statistics(context.targets, outputs)["accuracy"]()
    families = [f"fairness.{gap}" for gap in _GAPS]
    named = {family: f"{family}({', '.join(columns)})" for family in families}
    return {"accuracy": right} | {named[one]: fairness.gap(context, one, columns, outputs) for one in families}


def _compared(context: Context, before: Statistic, after: Statistic) -> dict[str, dict[str, float | None]]:
    """A metric before and after, and the change, whose interval is that of the same rows drawn again."""
    parts = {"before": before, "after": after, "change": lambda weights: np.asarray(after(weights) - before(weights))}
    users, weights = context.test.of(context.output.user), context.test.weights
    of_rows = (len(context.test), context.seed, quality.RESAMPLES, users, weights)
    found = {part: quality.estimate(one, *of_rows, share=part != "change") for part, one in parts.items()}
    return {part: {"value": one.value, "low": one.low, "high": one.high} for part, one in found.items() if one}


def sections(manifest: Manifest) -> Iterator[Section]:
    """What was done, and what it is worth."""
    yield Section("Mitigation", tuple(_blocks(manifest.evidence)), "Mitigation")


def _blocks(evidence: Mapping[str, Any]) -> Iterator[Block]:
    done = evidence.get(_DONE)
    if not done:
        return
    by = f"By {' and '.join(done['by'])}"
    if done["mitigate"] == "reweighing":
        yield Text(_REWEIGHING)
        cells = ((one["group"], one["class"], f"{one['rows']:,}", f"{one['weight']:.3f}") for one in done["weights"])
        yield Table(("group", "class", "training rows", "weight"), tuple(cells), frozenset({2, 3}), title=by)
        return
    groups, gap = done["groups"], figures.label(done["gap"])
    said = _THRESHOLDS.format(rows=f"{sum(one['rows'] for one in groups):,}", gap=f"{gap[0].lower()}{gap[1:]}")
    yield Text(said if evidence.get(_WORTH) else _KEPT.format(why=done["why"] or "none is worth what it costs"))
    rows = []
    for one in groups:
        common = "common cut" if one["counted"] else "common cut (too few rows)"
        shift = common if one["shift"] is None else f"{one['shift']:+.3f}"
        rows.append((one["group"], f"{one['rows']:,}", shift))
    yield Table(("group", "validation rows", "shift"), tuple(rows), frozenset({1, 2}), title=by)
    yield from _worth(evidence.get(_WORTH, {}), done["valid"])


def _worth(found: Mapping[str, Any], valid: Mapping[str, Mapping[str, float]]) -> Iterator[Block]:
    parts = ("before", "after", "change")
    rows = tuple(
        (figures.label(name), *(figures.of_evidence(one.get(part)) for part in parts)) for name, one in found.items()
    )
    if rows:
        head = ("metric", "one cut for all groups", "a cut for each", "change")
        yield Table(head, rows, frozenset({1, 2, 3}), title="The same test rows, before and after")
    pairs = ((name, valid["before"][name], valid["held_out"][name]) for name in ("gap", "accuracy"))
    told = ", ".join(f"{name} {before:.3f} to {after:.3f}" for name, before, after in pairs)
    yield Text(f"On the validation rows, each answered by cuts that the others gave (cross-fitting): {told}.")


def limits(manifest: Manifest) -> Iterator[str]:
    """What a cut for each group is not."""
    if manifest.evidence.get(_WORTH):
        yield _LIMIT
