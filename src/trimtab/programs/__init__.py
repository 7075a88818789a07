"""How the networks of a bundle are run to outputs. One file per program: `programs/single.py` makes `single` exist."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from trimtab import registry
from trimtab.columns import EncodedRows, Outputs
from trimtab.errors import problem
from trimtab.part_options import Options, check


class Runnable(Protocol):
    """One network of a bundle, as a program sees it."""

    def outputs(self, rows: EncodedRows, picked: np.ndarray) -> Outputs:
        """Outputs of the picked rows, in their order."""


Graphs = Mapping[str, Runnable]


@dataclass(frozen=True)
class Ran:
    """The outputs of some rows, in their order."""

    outputs: Outputs
    early: np.ndarray | None = None  # (rows,) which were answered before every network ran; None: none ever is


@dataclass(frozen=True)
class Program(ABC):
    """A way to run networks. The class in `programs/<name>.py` is called `<Name>Program`."""

    takes: ClassVar[type[Options]] = Options
    graphs: ClassVar[tuple[str, ...]]  # the networks that it runs, by their names in the bundle

    options: Any  # of the class `takes`

    @abstractmethod
    def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
        """Rows through the networks, to outputs."""

    def settled(self, graphs: Graphs, rows: EncodedRows, tolerance: float) -> np.ndarray:
        """Which rows go the same way where outputs are off by up to `tolerance`, (rows,): all, where all go one way."""
        return np.ones(len(rows), bool)

    @property
    def inner(self) -> Program | None:
        """The program whose outputs it changes; None for one that runs networks itself."""
        return None

    @property
    def words(self) -> str:
        """How the networks work together, for people; nothing where there is one."""
        return ""


def names() -> list[str]:
    """Every program there is, sorted."""
    return registry.names(__name__)


def kind(name: str, where: str) -> type[Program]:
    """The class of a program; raises TrimtabError with the nearest name when there is none."""
    found: type[Program] = registry.load(__name__, name, f"{registry.camel(name)}Program", where)
    return found


def opened(name: str, options: Mapping[str, Any], graphs: Iterable[str], where: str) -> Program:
    """The program of a bundle that has the named graphs.

    Raises TrimtabError for a program or an option that is not known, and for a graph that the program needs.
    """
    made = kind(name, where)
    lacking = sorted(set(made.graphs) - set(graphs))
    if lacking:
        raise problem(where, f"the program {name!r} needs the graph {lacking[0]!r}", f"found {', '.join(graphs)}")
    return made(check(made.takes, f"{where}: program {name!r}", options))
