"""One file per training method; the folder is the registry: see `train.method.Method`."""

from __future__ import annotations

from trimtab import part_options, registry
from trimtab.columns import OutputColumn
from trimtab.errors import nearest, problem
from trimtab.spec import WEIGHTS, Part
from trimtab.train.method import Method

SUPERVISED = Part(name="supervised")
_WHERE = "train.method"


def kind(name: str) -> type[Method]:
    """The class of `methods/<name>.py`. Raises TrimtabError, with the nearest name, when there is none."""
    found: type[Method] = registry.load(__name__, name, f"{registry.camel(name)}Method", "the training method")
    return found


def made(part: Part) -> Method:
    """The method that a spec asks for. Raises TrimtabError for a name or an option that there is none of."""
    if part.name not in registry.names(__name__):
        allowed = nearest(part.name, [*WEIGHTS, *(name for name in registry.names(__name__) if kind(name).of_a_spec)])
        raise problem(_WHERE, f"no training method named {part.name!r}", allowed)
    found = kind(part.name)
    if not found.of_a_spec:
        raise problem(_WHERE, f"{part.name!r} needs a trained network to learn from", do="see `compress`")
    return part_options.check(found, f"{_WHERE} ({part.name})", part.options)


def asks(part: Part | None) -> bool:
    """Whether a language model is to be asked, and nothing is learnt."""
    return part is not None and made(part).asks


def check(part: Part, output: OutputColumn, encoders: int) -> Method:
    """The method that a spec asks for. Raises TrimtabError as `made` does, and where it cannot learn such answers."""
    method = made(part)
    if reason := method.refuses(output, encoders):
        raise problem(_WHERE, f"{part.name!r}, but {reason}", do=f"one of {', '.join(WEIGHTS)}, or nothing")
    return method
