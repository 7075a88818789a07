"""How texts are measured: BLEU and chrF as sacrebleu has them, the rest as its definition says, all with intervals."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import sacrebleu

from trimtab import metrics
from trimtab.audit.quality import estimate
from trimtab.metrics import Written, _texts

TRUE = [
    "A man in a blue shirt is standing on a ladder, cleaning a window.",
    'Two dogs & a cat play in the 3-4 m. high grass; "really"?',
    "It costs 1,234.50 euros (about $1,300), e.g. for a well-known brand.",
    "Nothing.",
    "Ein kleines Mädchen klettert in ein Spielhaus aus Holz.",
    "the the the the",
    "Emoji \U0001f600 and a tab\there, a line\nbreak and a dash -\nacross",
    "",
]
GIVEN = [
    "A man in a blue shirt stands on a ladder cleaning a window .",
    'Two dogs &amp; a cat are playing in the 3-4 m high grass; "really" ?',
    "It costs 1234.50 euros (about $1,300), e.g. for a well known brand.",
    "",
    "Ein kleines Mädchen klettert auf ein Spielhaus.",
    "the cat the the",
    "Emoji \U0001f600 and a tab here, a line break and a dash across",
    "more",
]
CHINESE = ["今天天气很好，我们去公园吧。", "他花了3,000元买了一台iPhone 12。", "“真的吗？”她问。", "我不知道"]
GUESSED = ["今天天气不错，我们去公园。", "他用3000元买了iPhone 12 。", "她问：“真的？”", "不知道"]


def scored(given: list[str], true: list[str], name: str) -> float:
    return float(metrics.statistic(Written(true, given), name)(np.ones((len(true), 1)))[0])


def drawn(count: int, seed: int) -> list[str]:
    """Texts of few words, so that runs of them are often right, and often repeated."""
    letters = random.Random(seed)
    words = ["a", "the", "red", "dog", "runs", "fast", "3,5", "x-ray", "end.", "(so)"]
    return [" ".join(letters.choices(words, k=letters.randrange(0, 15))) for _ in range(count)]


@pytest.mark.parametrize(
    ("given", "true", "tokenizer"),
    [
        (GIVEN, TRUE, "13a"),
        (TRUE, TRUE, "13a"),
        (GUESSED, CHINESE, "zh"),
        (drawn(200, 1), drawn(200, 2), "13a"),
        (["wholly other"], ["nothing alike here at all"], "13a"),
        (["a b c"], ["a b c"], "13a"),
        (["", ""], ["a", "b"], "13a"),
        (["one two three four x y"], ["one two three four five six"], "13a"),
    ],
    ids=["marks", "the same", "chinese", "many", "nothing right", "too short", "empty", "orders smoothed"],
)
def test_bleu_and_chrf_are_those_of_sacrebleu(given: list[str], true: list[str], tokenizer: str) -> None:
    bleu = sacrebleu.metrics.BLEU(tokenize=tokenizer).corpus_score(given, [true]).score
    assert scored(given, true, "bleu") == pytest.approx(bleu, abs=1e-6)
    chrf = sacrebleu.metrics.CHRF().corpus_score(given, [true]).score
    assert scored(given, true, "chrf") == pytest.approx(chrf, abs=1e-6)


def test_a_row_that_is_drawn_twice_counts_twice() -> None:
    weights = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 3.0]])
    answers = Written(TRUE[:3], GIVEN[:3])
    for name, measure in (("bleu", sacrebleu.metrics.BLEU()), ("chrf", sacrebleu.metrics.CHRF())):
        found = metrics.statistic(answers, name)(weights)
        for place, rows in enumerate(([0, 0, 2], [1, 2, 2, 2])):
            again = measure.corpus_score([GIVEN[row] for row in rows], [[TRUE[row] for row in rows]]).score
            assert found[place] == pytest.approx(again, abs=1e-6)


def test_every_metric_of_texts_has_an_interval() -> None:
    given, true = drawn(60, 3), drawn(60, 4)
    given[:20] = true[:20]
    given[20:30] = [f"{text} {text}" for text in given[20:30]]
    counts = np.array([len(text.split()) + 1 for text in true])
    losses = np.random.default_rng(0).uniform(1, 3, size=60) * counts
    answers = Written(true, given, losses, counts, np.arange(60) % 3 > 0)
    found = metrics.statistics(answers)
    assert set(found) == set(metrics.measured_on(Written))
    assert {"bleu", "chrf", "rouge_l", "token_f1", "exact_match", "perplexity", "bits_per_byte"} <= set(found)
    for name, make in found.items():
        metric = metrics.named(name)
        measured = estimate(make(), 60, 0, share=metric.share)
        assert measured is not None, name
        assert measured.low is not None, name
        assert measured.high is not None, name
        assert measured.low < measured.value < measured.high, name
    assert float(found["perplexity"]()(np.ones((60, 1)))[0]) == pytest.approx(np.exp(losses.sum() / counts.sum()))
    size = sum(len(text.encode()) for text in true)
    assert float(found["bits_per_byte"]()(np.ones((60, 1)))[0]) == pytest.approx(losses.sum() / np.log(2) / size)
    assert float(found["stopped"]()(np.ones((60, 1)))[0]) == pytest.approx(2 / 3)


def test_what_was_not_written_is_not_measured() -> None:
    found = metrics.statistics(Written(["a b"], None, np.array([2.0]), np.array([3])))
    values = {name: float(make()(np.ones((1, 1)))[0]) for name, make in found.items()}
    assert {name for name, value in values.items() if not np.isnan(value)} == {"perplexity", "bits_per_byte"}


@pytest.mark.parametrize(
    ("given", "true", "expected"),
    [
        ("the cat sat", "The cat sat.", {"rouge_l": 1.0, "token_f1": 1.0, "exact_match": 0.0}),
        ("sat cat the", "the cat sat", {"rouge_l": 1 / 3, "token_f1": 1.0, "exact_match": 0.0}),
        ("a  b\n", " a b", {"rouge_l": 1.0, "token_f1": 1.0, "exact_match": 1.0}),
        ("a b c d", "a x c", {"rouge_l": 4 / 7, "token_f1": 4 / 7, "exact_match": 0.0}),
        ("", "", {"rouge_l": 1.0, "token_f1": 1.0, "exact_match": 1.0}),
        ("", "a", {"rouge_l": 0.0, "token_f1": 0.0, "exact_match": 0.0}),
        ("我很好", "我不好", {"rouge_l": 2 / 3, "token_f1": 2 / 3, "exact_match": 0.0}),
    ],
    ids=["marks", "another order", "white space", "in part", "both empty", "empty", "chinese"],
)
def test_texts_are_compared_word_by_word(given: str, true: str, expected: dict[str, float]) -> None:
    assert {name: scored([given], [true], name) for name in expected} == pytest.approx(expected)


def test_the_longest_common_subsequence_is_that_of_the_whole_table() -> None:
    letters = random.Random(0)
    for _ in range(200):
        one, other = (letters.choices("abcd", k=letters.randrange(0, 90)) for _ in range(2))
        table = np.zeros((len(one) + 1, len(other) + 1), int)
        for i, left in enumerate(one, 1):
            for j, right in enumerate(other, 1):
                table[i, j] = table[i - 1, j - 1] + 1 if left == right else max(table[i - 1, j], table[i, j - 1])
        assert _texts.common_length(one, other) == table[-1, -1]


def test_runs_that_stood_before_in_the_same_answer_are_counted() -> None:
    given = ["a b c d a b c d", "a b c d e f g h", "no no no no no no", "a b"]  # of 5, 5, 3 and no runs of four
    assert scored(given, given, "repeated") == pytest.approx((1 + 0 + 2 + 0) / 13)


def test_the_least_and_the_most_like_answers_are_shown() -> None:
    given = ["quite wrong", "a small dog", "the same", "nearly the sama"]
    true = ["something else", "a big dog", "the same", "nearly the same"]
    inputs: list[dict[str, Any]] = [{"source": str(place)} for place in range(4)]
    found = Written(true, given).evidence(inputs)
    assert [one["inputs"]["source"] for one in found["hardest"]] == ["0", "1", "3"]
    assert [one["inputs"]["source"] for one in found["likest"]] == ["2", "3", "1", "0"]
    assert found["hardest"][1] | {"chrf": 0} == {
        "inputs": {"source": "1"}, "true": "a big dog", "predicted": "a small dog", "chrf": 0,
    }  # fmt: skip
    assert Written(true).evidence(inputs) == {}
