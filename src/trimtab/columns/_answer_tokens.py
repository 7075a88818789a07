"""Tokenizers of written answers, learnt from the training rows: pieces of words, or characters.

Pieces are found in bytes (BPE as GPT-2 has it), so that every text can be written, upper case, white space and rare
letters too, and is read back as it was. The library's trainer breaks ties by the numbers of the pieces, which begin
with the 256 bytes in their order: equal rows give equal bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
FEWEST_PIECES = 300  # 256 bytes, and the tokens above
_LEAST_COUNT = 2  # of a pair that becomes a piece
_CHARACTER = Regex(r"[\s\S]")


def pieces(texts: Sequence[str], size: int, spaced: bool = True) -> str:
    """The text of a tokenizer.json with at most `size` tokens; a text that is read ends with END.

    With `spaced` a space stands before the first word, so that it is the word that it is within a sentence.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, FEWEST_PIECES),
        min_frequency=_LEAST_COUNT,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _ended(tokenizer)


def characters(texts: Iterable[str], size: int) -> str:
    """The same of single characters, those that occur most; any other is unknown, and is never written."""
    normal = normalizers.NFC()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normal.normalize_str(text))
    known = sorted(counts, key=lambda character: (-counts[character], character))
    tokens = [PAD, START, END, UNKNOWN, *known[: max(1, size - 4)]]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normal
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_CHARACTER, "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in tokens[:4]])
    return _ended(tokenizer)


def _ended(tokenizer: Tokenizer) -> str:
    end = (END, tokenizer.token_to_id(END))
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[end])
    return tokenizer.to_str()
