"""Texts that are written: how likely the right ones were, and how like them those are that were written."""

from __future__ import annotations

import numpy as np

from trimtab.metrics import Continued, Metric, Statistic, Texts, Written, _texts, mean, share, undefined


def _perplexity(answers: Texts) -> Statistic:
    if answers.losses is None or answers.tokens is None:
        return undefined
    return _texts.perplexity(answers.losses, answers.tokens)


def _bits_per_byte(answers: Texts) -> Statistic:
    if answers.losses is None:
        return undefined
    return share(answers.losses / np.log(2), np.array([len(text.encode("utf-8", "replace")) for text in answers.true]))


def _nats_per_character(answers: Continued) -> Statistic:
    if answers.losses is None:
        return undefined
    return share(answers.losses, np.array([len(text) for text in answers.true]))


def _bleu(answers: Written) -> Statistic:
    return undefined if answers.given is None else _texts.of_counts(answers.bleu_counts, _texts.bleu_of)


def _chrf(answers: Written) -> Statistic:
    return undefined if answers.given is None else _texts.of_counts(answers.chrf_counts, _texts.chrf_of)


def _rouge_l(answers: Written) -> Statistic:
    return undefined if answers.given is None else mean(_texts.rouge_l(answers.given, answers.true))


def _token_f1(answers: Written) -> Statistic:
    return undefined if answers.given is None else mean(_texts.token_f1(answers.given, answers.true))


def _repeated(answers: Texts) -> Statistic:
    if answers.given is None:
        return undefined
    runs = _texts.repeated_runs(answers.given)
    return share(runs[:, 0], runs[:, 1])


def _stopped(answers: Written) -> Statistic:
    return undefined if answers.stopped is None else mean(answers.stopped)


METRICS = (
    Metric(
        "bleu", "BLEU", "likeness to the right texts by runs of one to four words, 0 to 100, over all rows together "
        "(sacrebleu, cased; its tokenizer `zh` where the right texts are mostly Chinese)", "higher",
        of={Written: _bleu}, selects=True, tile=True, best=100.0,
    ),
    Metric(
        "chrf", "chrF", "likeness to the right texts by runs of one to six letters, 0 to 100, over all rows together "
        "(chrF2 of sacrebleu)", "higher", of={Written: _chrf}, selects=True, tile=True, best=100.0,
    ),
    Metric(
        "rouge_l", "ROUGE-L", "mean over rows of the F1 of the longest sequence of words that an answer and the right "
        "one have in common", "higher", of={Written: _rouge_l}, share=True, selects=True, of_rows=True,
    ),
    Metric(
        "token_f1", "Token F1", "mean over rows of the F1 of the words of an answer, whatever their order", "higher",
        of={Written: _token_f1}, share=True, selects=True, of_rows=True,
    ),
    Metric(
        "perplexity", "Perplexity", "among how many tokens the network was as good as undecided at each token of the "
        "right answers: the exponential of the mean loss; networks of other tokens cannot be compared by it", "lower",
        of={Texts: _perplexity}, selects=True, tile=True,
    ),
    Metric(
        "bits_per_byte", "Bits per byte", "what the right answers take by the network, in bits for each byte of their "
        "text: networks of any tokens can be compared by it", "lower", of={Texts: _bits_per_byte}, selects=True,
    ),
    Metric(
        "nats_per_character", "Nats per character", "the same in nats (1.44 bits) for each character", "lower",
        of={Continued: _nats_per_character}, selects=True, tile=True,
    ),
    Metric(
        "repeated", "Repeated runs", "share of the runs of four words of the answers that stood before in the same "
        "answer", "lower", of={Texts: _repeated}, share=True,
    ),
    Metric(
        "stopped", "Answers that stop", "share of answers that end by themselves, rather than at the greatest length",
        "higher", of={Written: _stopped}, share=True,
    ),
)  # fmt: skip
