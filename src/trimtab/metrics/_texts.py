"""Texts beside right ones: counts of each row, of which BLEU, chrF and ROUGE-L are made, and what repeats.

BLEU and chrF are those of sacrebleu (Post 2018, arXiv:1804.08771) with its defaults, number for number; of texts that
are mostly Chinese BLEU is that of its tokenizer `zh`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from trimtab.metrics._statistics import Statistic, ratio

ORDERS = 4  # words of the longest runs that BLEU counts
LETTERS = 6  # letters of the longest runs that chrF counts
_BETA = 2.0  # how much more recall counts than precision in chrF
LONG = 8  # words of an answer that nobody writes twice by chance
_REPEATED = 4  # words of a run that is looked for again in an answer
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SINGLE = re.compile(f"[{_HAN}\u3040-\u30ff]")  # letters that stand for themselves: Han, kana
_WORD = re.compile(f"[{_HAN}\u3040-\u30ff]|(?:(?![{_HAN}\u3040-\u30ff])[\\w])+")
_MOSTLY = 0.3  # share of Han among the letters from which texts are cut letter by letter

# sacrebleu 2.6: tokenizers/tokenizer_re.py, tokenizer_13a.py and tokenizer_zh.py. Two of its ranges are longer than
# they were meant to be, for they are compared as strings: U+2001 to U+2A6D, U+2F81 to U+2FA1.
_MARKS = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_CHINESE = re.compile(
    "([\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\u2001-\u2a6d\u2f81-\u2fa1\uff00-\uffef\u2e80-\u2eff"
    "\u3000-\u303f\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f\ufe30-\ufe4f"
    "\u3200-\u33ff])"
)


def words(text: str) -> list[str]:
    """The words of a text in lower case, without marks; Chinese and Japanese letters each by itself."""
    return _WORD.findall(text.lower())


def mostly_chinese(texts: Iterable[str]) -> bool:
    """Whether many of the letters of some texts are Chinese."""
    letters = Counter(_SINGLE.match(letter) is not None for text in texts for letter in text if letter.isalpha())
    return letters[True] > _MOSTLY * letters.total()


def cut(text: str, chinese: bool) -> list[str]:
    """The tokens that BLEU counts: `13a`, or `zh`."""
    if chinese:
        line = _CHINESE.sub(r" \1 ", text.strip())
    else:
        line = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
        for entity, mark in _ENTITIES:
            line = line.replace(entity, mark)
        line = f" {line} "
    for pattern, apart in _MARKS:
        line = pattern.sub(apart, line)
    return line.split()


def _runs(parts: Sequence[str], size: int) -> Counter[tuple[str, ...] | str]:
    """How often each run of so many parts stands there; of letters as a text."""
    starts = range(len(parts) - size + 1)
    if isinstance(parts, str):
        return Counter(parts[start : start + size] for start in starts)
    return Counter(tuple(parts[start : start + size]) for start in starts)


# --------------------------------------------------------------------------------------------------- BLEU and chrF


def bleu_counts(given: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """Of each row: runs of 1 to 4 tokens that are right, runs that there are, tokens given and right, (rows, 10)."""
    chinese = mostly_chinese(true)
    found = np.zeros((len(true), 2 * ORDERS + 2))
    for row, (one, right) in enumerate(zip(given, true, strict=True)):
        tokens, known = cut(one, chinese), cut(right, chinese)
        for size in range(1, ORDERS + 1):
            runs = _runs(tokens, size)
            found[row, size - 1] = (runs & _runs(known, size)).total()
            found[row, ORDERS + size - 1] = runs.total()
        found[row, -2:] = len(tokens), len(known)
    return found


def bleu_of(counts: np.ndarray) -> np.ndarray:
    """BLEU, 0 to 100, of summed counts (resamples, 10); orders of which nothing is right are smoothed (`exp`)."""
    right, runs, own, known = counts[:, :ORDERS], counts[:, ORDERS : 2 * ORDERS], counts[:, -2], counts[:, -1]
    halved = 2.0 ** np.cumsum(right == 0, axis=1)
    precision = np.where(right > 0, right, 1.0 / halved) / np.where(runs > 0, runs, 1.0)
    whole = right.any(axis=1) & (runs > 0).all(axis=1)
    brevity = np.exp(np.minimum(0.0, 1.0 - known / np.where(own > 0, own, 1.0)))
    return np.asarray(np.where(whole, 100.0 * brevity * np.exp(np.log(precision).mean(axis=1)), 0.0))


def chrf_counts(given: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """Of each row, for runs of 1 to 6 letters: runs given, runs of the right text, those in both, (rows, 6, 3)."""
    found = np.zeros((len(true), LETTERS, 3))
    for row, pair in enumerate(zip(given, true, strict=True)):
        one, right = ("".join(text.split()) for text in pair)
        for size in range(1, LETTERS + 1):
            runs, known = _runs(one, size), _runs(right, size)
            found[row, size - 1] = runs.total() if known else 0, known.total(), (runs & known).total()
    return found


def chrf_of(counts: np.ndarray) -> np.ndarray:
    """chrF2, 0 to 100, of summed counts (resamples, 6, 3)."""
    given, known, both = counts[..., 0], counts[..., 1], counts[..., 2]
    counted = (given > 0) & (known > 0)
    orders = np.maximum(counted.sum(axis=1), 1)
    precision = np.where(counted, both / np.where(counted, given, 1.0), 0.0).sum(axis=1) / orders
    recall = np.where(counted, both / np.where(counted, known, 1.0), 0.0).sum(axis=1) / orders
    top, bottom = (1 + _BETA**2) * precision * recall, _BETA**2 * precision + recall
    return np.asarray(100.0 * np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0))


def of_counts(counts: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> Statistic:
    """A score of counts that are summed over the rows."""
    flat = counts.reshape(len(counts), -1)

    def statistic(weights: np.ndarray) -> np.ndarray:
        summed = (weights.T @ flat).reshape(weights.shape[1], *counts.shape[1:])
        return np.where(weights.sum(axis=0) > 0, score(summed), np.nan)

    return statistic


# ------------------------------------------------------------------------------------------------------- by the row


def common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, by whole rows of its table as bits of a number (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    whole = (1 << len(one)) - 1
    column = whole
    for word in other:
        matched = column & places.get(word, 0)
        column = (column + matched | column - matched) & whole
    return len(one) - column.bit_count()


def rouge_l(given: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """F1 of the longest common subsequence of words of each row, (rows,) (Lin 2004)."""
    pairs = [(words(one), words(right)) for one, right in zip(given, true, strict=True)]
    return np.array([_f1(common_length(*pair), *map(len, pair)) for pair in pairs])


def token_f1(given: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """F1 of the words of each row, whatever their order, (rows,)."""
    pairs = [(Counter(words(one)), Counter(words(right))) for one, right in zip(given, true, strict=True)]
    return np.array([_f1((one & right).total(), one.total(), right.total()) for one, right in pairs])


def _f1(both: int, given: int, true: int) -> float:
    """Of two texts without words 1."""
    return 2 * both / (given + true) if given + true else 1.0


def repeated_runs(given: Sequence[str]) -> np.ndarray:
    """Of each row: runs of four words that stood before in the same answer, and runs that there are, (rows, 2)."""
    runs = [_runs(words(text), _REPEATED) for text in given]
    return np.array([[found.total() - len(found), found.total()] for found in runs], np.float64).reshape(-1, 2)


def copies(given: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Of each text of eight words or more, whether it stands in a known one word for word; and which these texts are.

    (rows, 2), 1 or 0.
    """
    own = [words(text) for text in given]
    long = [len(text) >= LONG for text in own]
    begun: dict[tuple[str, ...], list[int]] = {}
    wanted = {tuple(text[:LONG]) for text, counts in zip(own, long, strict=True) if counts}
    lines: dict[int, str] = {}
    for row, text in enumerate(known):
        parts = words(text)
        for run in {tuple(parts[start : start + LONG]) for start in range(len(parts) - LONG + 1)} & wanted:
            begun.setdefault(run, []).append(row)
            lines[row] = f" {' '.join(parts)} "
    copied = [
        counts and any(f" {' '.join(text)} " in lines[row] for row in begun.get(tuple(text[:LONG]), ()))
        for text, counts in zip(own, long, strict=True)
    ]
    return np.array([copied, long], np.float64).T.reshape(-1, 2)


def alike(given: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """Whether texts are the same but for white space at their ends and how much of it is within, (rows,) bool."""
    return np.array([one.split() == right.split() for one, right in zip(given, true, strict=True)], bool)


def perplexity(losses: np.ndarray, tokens: np.ndarray) -> Statistic:
    """The exponential of the mean loss of a token, of the losses (rows,) in nats and the tokens of rows."""
    lost, count = losses.astype(np.float64), tokens.astype(np.float64)
    return lambda weights: np.exp(ratio(lost @ weights, count @ weights))
