"""How the networks of a bundle are run to outputs. One file per program: `programs/single.py` makes `single` exist."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from trimtab import registry
from trimtab.columns import EncodedRows, Outputs, Ragged
from trimtab.errors import problem
from trimtab.part_options import Options, check
from trimtab.programs._options import Decoding
from trimtab.programs._writing import Begun, Said, Writer

__all__ = ["Begun", "Decoding", "Graphs", "Program", "Ran", "Runnable", "Said", "Writer", "kind", "names", "opened"]


class Runnable(Protocol):
    """One network of a bundle, as a program sees it."""

    def outputs(self, rows: EncodedRows, picked: np.ndarray) -> Outputs:
        """Outputs of the picked rows, in their order."""

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tensors that the network gives for those of one batch, by their names."""

    def batches(self, costs: np.ndarray) -> list[np.ndarray]:
        """Which rows of such costs are computed together."""

    def text(self, ids: Sequence[int]) -> str:
        """What token ids of an answer say; only of answers that are written."""


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
    def writes(self) -> bool:
        """Whether answers are written token by token; then it has what stands below `words`."""
        return False

    @property
    def inner(self) -> Program | None:
        """The program whose outputs it changes; None for one that runs networks itself."""
        return None

    @property
    def words(self) -> str:
        """How the networks work together, for people; nothing where there is one."""
        return ""

    def decoding(self, options: Mapping[str, Any]) -> Self:
        """The program that chooses tokens otherwise (`Decoding`). Raises TrimtabError for what cannot be set."""
        raise problem("decoding", "the answers of this bundle are not written token by token", do="leave it out")

    def stream(self, graphs: Graphs, rows: EncodedRows) -> Iterator[Said]:
        """What is said of each row, by its place, as it is written."""
        raise NotImplementedError

    def gathered(self, said: Iterable[Said], rows: int) -> Outputs:
        """What was said of rows, by their places, as `run` gives it."""
        raise NotImplementedError

    def writer(self, graphs: Graphs) -> Writer:
        """What writes rows that come and go; `begun` makes rows ready for it."""
        raise NotImplementedError

    @property
    def most_tokens(self) -> int:
        """Tokens that are held of all rows at once: more rows are let in when others are done."""
        raise NotImplementedError

    def costs(self, graphs: Graphs, rows: EncodedRows) -> np.ndarray:
        """What it costs to read each row before anything is written, (rows,), in steps."""
        raise NotImplementedError

    def turns(self, rows: EncodedRows, answers: Sequence[Sequence[int]]) -> EncodedRows:
        """Questions that were asked one after the other, with the answers to all but the last, as one row.

        Raises TrimtabError for networks that were not made for conversations.
        """
        raise problem("messages", "what was said before is not read by this bundle", "one message of the role user")

    def begun(self, graphs: Graphs, rows: EncodedRows, picked: np.ndarray) -> Begun:
        """The picked rows, read, so that a writer may go on with them."""
        raise NotImplementedError

    def of_entries(self, graphs: Graphs, entries: EncodedRows) -> np.ndarray:
        """The vector of each entry of a gallery, (entries, width); of a program whose answers come from one."""
        raise NotImplementedError

    def scored(self, graphs: Graphs, rows: EncodedRows, targets: Ragged) -> Ragged:
        """The log-probability of each token of the given answers, float32 (tokens, 1): what perplexity is made of.

        `targets` are ids, (tokens,) or (tokens, 1), and end with the one that ends an answer.
        """
        raise NotImplementedError


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
