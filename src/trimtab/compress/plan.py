"""Which recipes a search tries, for a network and for gates."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.compress import layers, making
from trimtab.compress.making import Material
from trimtab.nets.network import EncoderEntry
from trimtab.spec import Gate, Recipe

# Shares of the blocks of a pretrained encoder, and of their neurons, from cheap to dear.
_DEPTHS = (1 / 6, 1 / 3, 1 / 2, 2 / 3)
_NEURONS = (0.5, None)
_EMBEDDING = 128  # of token vectors: a table of 30,000 of 384 numbers is larger than six blocks
_STUDENTS = ("static", "conv", "tiny")
_CONVOLUTIONS = frozenset({"cnn", "resnet", "efficientnet_lite0", "audio_cnn", "textcnn", "vit"})
_SMALLER = (0.25, 0.5, 0.75)
_LATENCY_MARGIN = 0.9  # of a latency gate: what pruning aims at, for predictions are off by some percent


def recipes(material: Material) -> list[Recipe]:
    """Recipes for networks in fp32: first what needs no learning, then what learns, each from cheap to dear."""
    return [Recipe(), *students(), *cut(material)]


def students() -> list[Recipe]:
    """New small networks; those of another kind of input are skipped with their reason when they are made."""
    return [Recipe(student=name) for name in _STUDENTS] + [Recipe(student="smaller", neurons=n) for n in _SMALLER]


def cut(material: Material) -> list[Recipe]:
    """The network itself with fewer blocks and narrower ones; a network with one block, or none, is pruned alone."""
    depth = layers.depth(material.teacher)
    if depth < 2:
        return [Recipe(neurons=share) for share in _SMALLER] if depth or _convolves(material) else []
    kept = list(dict.fromkeys(max(1, round(share * depth)) for share in _DEPTHS))
    small = [Recipe(layers=count, neurons=share) for count in kept if count < depth for share in _NEURONS]
    width = _EMBEDDING if _wide(material) else None
    return [recipe.model_copy(update={"embedding": width}) for recipe in small]


def _wide(material: Material) -> bool:
    """Whether token vectors take most of the bytes of a network that was cut."""
    return any(entry.name == "compact" and entry.config["width"] > _EMBEDDING for entry in _entries(material))


def _entries(material: Material) -> Sequence[EncoderEntry]:
    return material.teacher.architecture.encoders


def _convolves(material: Material) -> bool:
    return any(entry.name == "cnn" for entry in _entries(material))


def precisions(material: Material, gates: Sequence[Gate]) -> list[str]:
    """The precisions that every network is tried in, fp32 first; those that are only small where size is asked for."""
    small = any(gate.name in ("size", "memory") for gate in gates)
    convolves = any(entry.name in _CONVOLUTIONS for entry in _entries(material))
    return ["none", "int8_static" if convolves else "int8", *(["int8_blocks", "int4", "fp16"] if small else [])]


def in_precision(recipe: Recipe, precision: str) -> Recipe:
    """The same network in another precision."""
    return recipe.model_copy(update={"quantize": None if precision == "none" else precision})


def kind(recipe: Recipe) -> str:
    """`student`, `cut` or `free`: how dear it is to find out how good a recipe is."""
    if recipe.student:
        return "student"
    return "cut" if making.learns(recipe) else "free"
