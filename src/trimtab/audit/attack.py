"""Typing errors where they hurt most: an attack on texts that asks the model which words its answer leans on.

DeepWordBug (Gao et al. 2018, arXiv:1801.04354), by occlusion, within a budget of words and of calls for each text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trimtab.values.typing_errors import WORDS, mistyped

WORDS_CHANGED = 2  # of a text, at most
_LEFT_OUT, _TRIED, _SPELLINGS = 40, 3, 3  # words that are left out to look; of these tried; spellings of each
CALLS = _LEFT_OUT + WORDS_CHANGED * _TRIED * _SPELLINGS  # of the model for each text, at most
# (which text each one is a variant of, the variants) -> (chance of the right answer, whether it is given), (variants,)
Ask = Callable[[Sequence[int], Sequence[str]], tuple[np.ndarray, np.ndarray]]


def attacked(texts: Sequence[str], ask: Ask, random: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """The texts as the attack leaves them, and which are still answered rightly, (texts,) bool."""
    pieces = [WORDS.findall(text) for text in texts]
    order, alive = _leaned_on(pieces, ask), np.ones(len(texts), bool)
    for _ in range(WORDS_CHANGED):
        tries = [
            (text, place, spelling)
            for text in np.flatnonzero(alive).tolist()
            for place in order[text][:_TRIED]
            for spelling in dict.fromkeys(mistyped(pieces[text][place], random) for _ in range(_SPELLINGS))
        ]
        if not tries:
            break
        chance, right = ask(
            [text for text, *_ in tries], [_with(pieces[text], place, spelling) for text, place, spelling in tries]
        )
        for text in sorted({text for text, *_ in tries}):
            own = [number for number, one in enumerate(tries) if one[0] == text]
            best = min(own, key=lambda number: (right[number], chance[number]))
            _, place, spelling = tries[best]
            pieces[text][place] = spelling
            order[text].remove(place)
            alive[text] = right[best]
    return ["".join(words) for words in pieces], alive


def can_be(text: str) -> bool:
    """Whether a text has a word that is long enough to be mistyped."""
    return bool(_places(WORDS.findall(text)))


def _places(pieces: Sequence[str]) -> list[int]:
    steady = np.random.default_rng(0)
    return [place for place, word in enumerate(pieces) if mistyped(word, steady) != word]


def _leaned_on(pieces: Sequence[list[str]], ask: Ask) -> list[list[int]]:
    """The places of each text's words, first those without which the right answer is least likely."""
    places = [_places(words)[:_LEFT_OUT] for words in pieces]
    whose = [text for text, own in enumerate(places) for _ in own]
    chance, _ = ask(
        whose, [_with(words, place, "") for words, own in zip(pieces, places, strict=True) for place in own]
    )
    ends = np.cumsum([0, *map(len, places)])
    return [
        [own[i] for i in np.argsort(chance[start:stop], kind="stable").tolist()]
        for own, start, stop in zip(places, ends[:-1], ends[1:], strict=True)
    ]


def _with(pieces: Sequence[str], place: int, word: str) -> str:
    return "".join((*pieces[:place], word, *pieces[place + 1 :]))
