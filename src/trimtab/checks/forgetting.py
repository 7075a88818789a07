"""What a bundle that went on learning lost on old test rows, and gained on new ones: both bundles on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trimtab import runtime
from trimtab.audit import paired
from trimtab.audit.paired import SURE, Change
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.page import Block, Section, Table, Text, figures

PLACE = 1.5
FORGETTING, GAIN = "forgetting", "gain"
_EVIDENCE = "adapted"
_PARTS = {"old": "old test rows", "new": "new test rows"}
_WHAT = (
    "The bundle went on learning from the bundle {parent}. Both answered the same rows: old ones, which neither "
    "learnt, and a part of the new ones that was kept back. The interval is that of the difference; p is the chance of "
    "a gain as large where nothing was gained."
)
_NOTHING_OLD = (
    "No old row was there to measure on: what was forgotten is not known, but that {kept} of {golden} golden rows are "
    "answered as before."
)
_LINEAGE = "Adapted from, the first one first"


def check(context: Context) -> Finding:
    """The changes, and why the bundle should not take the place of the one before."""
    if context.adapted is None:
        asked = FORGETTING in context.gates and context.train is not None
        remark = {FORGETTING: "nothing was learnt upon another bundle"} if asked else {}
        return Finding({FORGETTING: Measured(value=0.0)} if asked else {}, remarks=remark)
    adapted = context.adapted
    before = context.output.widened_from(adapted.before.output, adapted.before.outputs(context.test.values))
    rows = {"old": ~adapted.new, "new": adapted.new}
    pair = (before, context.outputs)
    found = {
        name: paired.of_table(context.output, context.test, pair, picked, context.seed) for name, picked in rows.items()
    }
    evidence = {}
    for name, change in found.items():
        if change:
            parts = {"before": change.before, "after": change.after, "change": change.change}
            figures_of = {part: one.model_dump() for part, one in parts.items()}
            evidence[name] = {"rows": change.rows, "p": change.p, **figures_of}
    golden, kept = _golden(adapted.before, context.model)
    said = {"parent": adapted.before.serving.hash, "metric": context.output.headline, "golden": golden, "kept": kept}
    return Finding(_measured(found), {_EVIDENCE: {**said, **evidence}}, why=_why(found["new"], context.output.headline))


def _measured(found: Mapping[str, Change | None]) -> dict[str, Measured]:
    old, new = found["old"], found["new"]
    measured = {}
    if old:
        low, high = old.change.low, old.change.high
        lost = Measured(
            value=-old.change.value, low=None if high is None else -high, high=None if low is None else -low
        )
        measured[FORGETTING] = lost
    return measured | ({GAIN: new.change} if new else {})


def _golden(before: runtime.Model, after: runtime.Model) -> tuple[int, int]:
    """How many golden rows the bundle before has, and how many of them are answered as by it."""
    rows = [line["row"] for line in runtime.read_golden(before.folder)] if before.folder else []
    if not rows:
        return 0, 0
    name = after.output.name
    pairs = zip(*(model.predict(rows).answers[name] for model in (before, after)), strict=True)
    return len(rows), sum(_same(*pair) for pair in pairs)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, rtol=0.05))
    return bool(one == other)


def _why(new: Change | None, metric: str) -> tuple[str, ...]:
    """Why the new rows do not speak for the bundle; nothing where they do."""
    if new is None:
        return ("gain: the new test rows do not define the metric, so that nothing says that they are answered better",)
    if new.gained:
        return ()
    values = f"{figures.plain(new.before.value)} before, {figures.plain(new.after.value)} after"
    said = f"{values}, p = {new.p:.2g}, where less than {SURE} is asked"
    return (f"gain: {metric} on {new.rows:,} new test rows is not surely better ({said})",)


def sections(manifest: Manifest) -> Iterator[Section]:
    """Before and after, and what the bundle was adapted from."""
    yield Section("Adaptation", tuple(_blocks(manifest)), "Adaptation")


def _blocks(manifest: Manifest) -> Iterator[Block]:
    found = manifest.evidence.get(_EVIDENCE)
    if not found:
        return
    yield Text(_WHAT.format(parent=str(found["parent"])[:12]))
    if "old" not in found:
        yield Text(_NOTHING_OLD.format(kept=found["kept"], golden=found["golden"]))
    lines = tuple(_line(name, found[part]) for part, name in _PARTS.items() if part in found)
    metric = figures.label(str(found["metric"]))
    yield Table((metric, "rows", "before", "after", "change", "95% interval", "p"), lines, frozenset(range(1, 7)))
    if manifest.lineage:
        lineage = tuple(
            (one.hash[:12], one.name, one.created, f"{one.learnt.get('new', 0):,}") for one in manifest.lineage
        )
        head = ("bundle", "name", "made", "new rows then learnt")
        yield Table(head, lineage, frozenset({3}), title=_LINEAGE)


def _line(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    before, after, change = (Measured.model_validate(part[key]) for key in ("before", "after", "change"))
    chance = f"{part['p']:.2g}"
    return (
        name, f"{part['rows']:,}", figures.value(before), figures.value(after), f"{change.value:+.3f}",
        figures.interval(change), chance,
    )  # fmt: skip


def limits(manifest: Manifest) -> Iterator[str]:
    """What is not known without old rows."""
    found = manifest.evidence.get(_EVIDENCE)
    if found and "old" not in found:
        yield "No old rows were there when the bundle was adapted: what it has forgotten of them is not known."
