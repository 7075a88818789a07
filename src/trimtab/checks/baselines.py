"""What simple models answer on the same rows: without them nobody knows what the network is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trimtab import metrics
from trimtab.audit.baselines import baselines
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.page import Bar, Bars, Section, Table, Text, figures

PLACE = 1
_NONE = (
    "Outputs of the type {type} have no baseline: nobody knows how well a simple model would answer. A type names what "
    "learns it in `baselines`."
)
# What is said where a metric has no words of its own for it.
_GAIN = "The network closes {gone:.0%} of the gap between {name} and a perfect score."
_LESS = "The network's {metric} is {gone:.0%} lower than that of {name}."
_EVERY = "Every metric, on the same test rows"


def check(context: Context) -> Finding:
    """Each baseline's metrics under "baselines"; nothing where there are no rows that they could learn from."""
    if context.train is None:
        return Finding()
    found = baselines(context.inputs, context.train, context.test, context.output, context.seed)
    plain = {name: {key: value.model_dump() for key, value in part.items()} for name, part in found.items()}
    return Finding(evidence={"baselines": plain})


def sections(manifest: Manifest) -> Iterator[Section]:
    """What the network is worth beside them; that there are none."""
    if manifest.evidence.get("baselines") == {}:
        yield Section("Baselines", (Text(_NONE.format(type=manifest.output.type)),))
    yield Section("What the large model is worth", _compared(manifest), "Worth")


def _compared(manifest: Manifest) -> tuple[Text | Bars | Table, ...]:
    simple = {
        name: {metric: Measured.model_validate(value) for metric, value in found.items()}
        for name, found in manifest.evidence.get("baselines", {}).items()
    }
    headline = manifest.headline
    if not simple or headline not in manifest.measured:
        return ()
    everyone = {**simple, "this bundle": manifest.measured}
    shown = {name: found for name, found in everyone.items() if headline in found}
    names = [name for name in manifest.measured if any(name in found for found in simple.values())]
    rows = tuple(
        (
            figures.label(metric),
            *(figures.value(found[metric]) if metric in found else figures.NOTHING for found in everyone.values()),
        )
        for metric in names
    )
    bars = Bars(
        figures.label(headline),
        tuple(_bars(headline, {name: found[headline] for name, found in shown.items()})),
        fixed=True,
    )
    figured = frozenset(range(1, len(everyone) + 1))
    return (
        *_worth(headline, simple, manifest.measured[headline]),
        *([bars] if len(shown) > 1 else []),
        Table(("metric", *everyone), rows, figured, title=_EVERY, fixed=frozenset({0}), folded=True),
    )


def _worth(headline: str, simple: Mapping[str, Mapping[str, Measured]], own: Measured) -> Iterator[Text]:
    """How much of the best baseline's error is gone, and whether the test rows are enough to say so."""
    found = [(name, measured[headline]) for name, measured in simple.items() if headline in measured]
    if not found:
        return
    more = _more_is_better(headline)
    name, best = (max if more else min)(found, key=lambda pair: pair[1].value)
    if own.value == best.value or (own.value < best.value) == more:
        yield Text(f"The network is not better than {name} ({figures.value(best)}): the cheap model answers as well.")
        return
    perfect = metrics.named(headline).best if more else 0.0  # every other metric of quality is best at 0
    gone = (own.value - best.value) / (perfect - best.value)
    gain = metrics.named(headline).gain or (_GAIN if more else _LESS)
    doubt = " Their intervals overlap: more test rows would make the difference surer." if _overlap(own, best) else ""
    yield Text(gain.format(gone=gone, name=name, metric=figures.label(headline)) + doubt)


def _more_is_better(metric: str) -> bool:
    return metrics.named(metric).higher_is_better


def _overlap(one: Measured, other: Measured) -> bool:
    """Whether both have an interval, and some value lies in both."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def _bars(headline: str, shown: Mapping[str, Measured]) -> Iterator[Bar]:
    """A bar for each, from 0 to the best score; of what has no best score, to the largest one."""
    low = {name: own.value if own.low is None else own.low for name, own in shown.items()}
    high = {name: own.value if own.high is None else own.high for name, own in shown.items()}
    longest = metrics.named(headline).best if _more_is_better(headline) else max(high.values()) or 1.0
    for name, own in shown.items():
        length, start, end = (min(1.0, max(0.0, value / longest)) for value in (own.value, low[name], high[name]))
        text = figures.whole(own)
        yield Bar(name, text, length, start, end, name == "this bundle")
