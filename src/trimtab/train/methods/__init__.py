"""One file per training method; the folder is the registry: see `train.method.Method`."""

from __future__ import annotations

from trimtab import registry
from trimtab.train.method import Method


def kind(name: str) -> type[Method]:
    """The class of `methods/<name>.py`. Raises TrimtabError, with the nearest name, when there is none."""
    found: type[Method] = registry.load(__name__, name, f"{registry.camel(name)}Method", "the training method")
    return found
