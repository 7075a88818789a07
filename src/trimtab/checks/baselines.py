"""What simple models answer on the same rows: without them nobody knows what the network is worth."""

from __future__ import annotations

from trimtab.audit.baselines import baselines
from trimtab.checks import Context, Finding, Said

_NONE = (
    "Outputs of the type {type} have no baseline: nobody knows how well a simple model would answer. A type names what "
    "learns it in `baselines`."
)


def check(context: Context) -> Finding:
    """Each baseline's metrics under "baselines"."""
    found = baselines(context.inputs, context.train, context.test, context.output, context.seed)
    plain = {name: {key: value.model_dump() for key, value in part.items()} for name, part in found.items()}
    said = () if plain else (Said("Baselines", [_NONE.format(type=context.output.type)]),)
    return Finding(evidence={"baselines": plain}, said=said)
