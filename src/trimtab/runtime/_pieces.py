"""An answer that is being written, piece by piece: put together the pieces are the text that `predict` gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.programs import Said

_HALF = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer makes of bytes that are no whole character yet


class Pieces:
    """The text of one row, of which nothing is told that might not stay.

    White space at either end belongs to no answer, unless it is `verbatim`, and what may be the beginning of a text of
    `stop` is kept back.
    """

    def __init__(self, text: Callable[[Sequence[int]], str], stop: Sequence[str] = (), verbatim: bool = False) -> None:
        self.text, self._stop, self._verbatim = text, stop, verbatim
        self.ids: list[int] = []
        self.scores: list[float] = []
        self.told = ""

    def add(self, said: Said) -> str:
        """What can be told more; at the end of the answer, all that is left."""
        self.ids += said.ids
        self.scores += said.scores
        text = self.text(self.ids)
        if said.end:
            return self._more(self._trimmed(text if said.kept < 0 else text[: said.kept]))
        return self._more(self._trimmed(text[: len(text) - self._uncertain(text)]))

    def _trimmed(self, text: str) -> str:
        return text if self._verbatim else text.strip()

    def _more(self, text: str) -> str:
        found = text[len(self.told) :]
        self.told += found
        return found

    def _uncertain(self, text: str) -> int:
        """Characters at the end that may yet become others, or be left out."""
        halves = len(text) - len(text.rstrip(_HALF))
        begun = (size for one in self._stop for size in range(1, len(one) + 1) if text.endswith(one[:size]))
        return max([halves, *begun])
