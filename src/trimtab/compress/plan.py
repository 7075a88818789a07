"""Which recipes a search tries, for a network and for gates."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.columns.text import TextColumn
from trimtab.compress import layers
from trimtab.compress.build import BuildContext
from trimtab.nets.network import EncoderEntry
from trimtab.spec import Gate, Recipe

# Shares of the blocks of a pretrained encoder that are kept, and of the heads and neurons of each. A network pruned in
# all its blocks is nearer to what it was than one that lost whole blocks, and slower for the same number of weights.
_CUTS = (
    (1.0, 0.5, 0.25),
    (1.0, 0.35, 0.25),
    (1.0, 0.25, 0.125),
    (1.0, 1 / 6, 1 / 12),
    (2 / 3, 0.5, 0.5),
    (1 / 2, None, 0.5),
    (1 / 3, None, 0.5),
    (1 / 6, None, 0.5),
)
_RUNG, _RUNGS = 0.88, 20  # each rung of the ladder has this share of the neurons of the one before: down to a twelfth
_DEEP = 4  # blocks of a network of which half may go
_NARROW = 0.2  # of the neurons: 25% of them, with 35% of the heads, lost nothing on trec6, a twelfth two points
_EMBEDDING = 2 / 3  # of the width of token vectors: half of it costs four times the quality
_WIDE = 256  # token vectors from which on narrower ones are worth it
_STUDENTS = (
    Recipe(student="static"),
    Recipe(student="conv"),
    Recipe(student="tiny"),
)
_CONVOLUTIONS = frozenset({"cnn", "resnet", "efficientnet_lite0", "audio_cnn", "textcnn", "vit"})
_SMALLER = (0.25, 0.5, 0.75)
_LATENCY_MARGIN = 0.9  # of a latency gate: what pruning aims at, for predictions are off by some percent


def students(context: BuildContext) -> list[Recipe]:
    """New small networks, from cheap to dear; those of another kind of input are skipped when they are made.

    Narrow blocks from nothing are behind convolutions in all that was measured: only a network whose own blocks cannot
    be cut is given them.
    """
    own = [Recipe(student="smaller", neurons=share) for share in _SMALLER]
    if not any(isinstance(column, TextColumn) for column in context.teacher.inputs):
        return own
    texts = [recipe for recipe in _STUDENTS if recipe.student != "tiny" or layers.depth(context.teacher) < 2]
    return [*texts, *(own if len(context.teacher.inputs) > 1 else [])]


def cut(context: BuildContext, gates: Sequence[Gate]) -> list[Recipe]:
    """The network itself with fewer blocks and narrower ones; a network with one block, or none, is pruned alone.

    For a gate on latency it is also pruned until it is predicted to meet it, where there is a latency table.
    """
    depth = layers.depth(context.teacher)
    if depth < 2:
        return [Recipe(neurons=share) for share in _SMALLER] if depth or _convolves(context) else []
    width = _narrower(context)
    found = []
    for gate in gates if context.table else ():
        if gate.name == "latency" and gate.operator[0] == "<":
            found.append(Recipe(embedding=width, to_latency=float(f"{_LATENCY_MARGIN * gate.bound:.3g}")))
    for share, heads, neurons in _CUTS:
        kept = max(1, round(share * depth))
        found.append(Recipe(layers=None if kept == depth else kept, embedding=width, heads=heads, neurons=neurons))
    return list(dict.fromkeys(found))


def ladder(context: BuildContext, narrow: bool, shallow: bool = False) -> list[Recipe]:
    """The network itself, cut from hardly to nearly all of it, the dearest first: along one line, so that they nest.

    All blocks stay and become narrower: see LOG, 2026-11-24. With `narrow`, token vectors do too. With `shallow`, half
    of the blocks go, for gates that no network of all of them meets; none of a network of few blocks.
    """
    width = _narrower(context) if narrow else None
    blocks = layers.depth(context.teacher)
    if not blocks and not _convolves(context):
        return []
    if shallow and blocks < _DEEP:
        return []
    left = blocks // 2 if shallow else None
    shares = [_RUNG**number for number in range(_RUNGS)]
    cuts = [
        Recipe(layers=left, embedding=width, heads=_share(2 * share, blocks > 1), neurons=_share(share))
        for share in shares
    ]
    return [cut for cut in dict.fromkeys(cuts) if cut != Recipe()]


def _share(wanted: float, there: bool = True) -> float | None:
    """Of the units that are kept; None where all are, or where there are none of the kind."""
    return float(f"{wanted:.2g}") if wanted < 1 and there else None


def narrow(recipe: Recipe) -> bool:
    """Whether a rung of the ladder is so narrow that a student before a wider one may be better."""
    return (recipe.neurons or 1.0) < _NARROW


def clearly_larger(rungs: Sequence[Recipe], one: Recipe, other: Recipe | None) -> bool:
    """Whether a rung is more than one above another; it is, where the other is none of these rungs."""
    return other not in rungs or rungs.index(one) + 1 < rungs.index(other)


def aimed(context: BuildContext, gates: Sequence[Gate]) -> str:
    """The precision that the largest network is looked for in: the smallest that is as quick as any."""
    wanted = precisions(context, gates)
    return "int8_int4" if "int8_int4" in wanted and wanted[1] == "int8" else wanted[1]


def _narrower(context: BuildContext) -> int | None:
    """The width of token vectors, which take more bytes than the blocks of a network that was cut."""
    widths = [int(entry.config["width"]) for entry in _entries(context) if entry.name == "compact"]
    return round(min(widths) * _EMBEDDING / 32) * 32 if widths and min(widths) >= _WIDE else None


def _entries(context: BuildContext) -> Sequence[EncoderEntry]:
    return context.teacher.architecture.encoders


def _convolves(context: BuildContext) -> bool:
    return any(entry.name == "cnn" for entry in _entries(context))


def precisions(context: BuildContext, gates: Sequence[Gate]) -> list[str]:
    """The precisions that every network is tried in, fp32 first; those that are only small where size is asked for."""
    small = any(gate.name in ("size", "memory") for gate in gates)
    convolves = any(entry.name in _CONVOLUTIONS for entry in _entries(context))
    return ["none", "int8_static" if convolves else "int8", *(["int8_int4", "int4"] if small else [])]


def in_precision(recipe: Recipe, precision: str) -> Recipe:
    """The same network in another precision."""
    return recipe.model_copy(update={"quantize": None if precision == "none" else precision})
