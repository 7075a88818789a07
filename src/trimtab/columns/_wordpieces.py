"""A tokenizer of BERT's kind, learnt from the training rows where no pretrained encoder brings one.

Words are split into the pieces that occur most (WordPiece); Chinese characters are words of their own, and scripts
without spaces are cut into runs that pieces are found in. The library's trainer numbers the characters as it meets
them, in another order each time; here they are counted first, so that equal rows give equal bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

PAD, UNKNOWN = "[PAD]", "[UNK]"
_CONTINUES = "##"
_LEAST_COUNT = 2  # what occurs once in training teaches nothing but to be unknown
_LEAST_WORDS = 5  # times that a word occurs in more rows, to become a token
_MOST_NEW = 2000  # tokens that more rows add
_LONGEST_WORD = 64  # characters; finding the pieces of a word takes time in the square of its length


def train(texts: Sequence[str], size: int) -> str:
    """The text of a tokenizer.json with at most `size` tokens; the same for the same texts."""
    learner = _tokenizer({})
    characters = _characters(learner, texts)[: size - 2]
    pieces = [piece for c in characters for piece in ((c, _CONTINUES + c) if _goes_on(learner, c) else (c,))]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=_LEAST_COUNT,
        special_tokens=[PAD, UNKNOWN, *pieces],
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    vocabulary = sorted(learner.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    return _tokenizer(dict(vocabulary)).to_str()


def is_learnt(definition: str) -> bool:
    """Whether a tokenizer is one that `train` made, whatever its tokens."""
    own: dict[str, Any] = json.loads(definition)
    made: dict[str, Any] = json.loads(_tokenizer({}).to_str())
    if own.get("model", {}).get("type") != made["model"]["type"]:
        return False
    tokens = own["model"].pop("vocab")
    made["model"].pop("vocab")
    return own == made and tokens.get(PAD) == 0 and tokens.get(UNKNOWN) == 1


def extended(definition: str, texts: Sequence[str]) -> str:
    """The tokenizer with tokens for the letters that it does not know, and for words that occur often.

    They stand behind those that it has. A word that it knows as one token stays that token.
    """
    learner = Tokenizer.from_str(definition)
    vocabulary = dict(sorted(learner.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1]))
    pieces = [p for c in _characters(learner, texts) for p in ((c, _CONTINUES + c) if _goes_on(learner, c) else (c,))]
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in learner.pre_tokenizer.pre_tokenize_str(learner.normalizer.normalize_str(text)))
    frequent = [word for word in sorted(words, key=lambda w: (-words[w], w)) if words[word] >= _LEAST_WORDS]
    new = [token for token in dict.fromkeys([*pieces, *frequent]) if token not in vocabulary][:_MOST_NEW]
    if not new:
        return definition
    return _tokenizer(vocabulary | {token: len(vocabulary) + place for place, token in enumerate(new)}).to_str()


def text_of(token: str) -> str:
    """What a token stands for, without the mark of one that goes on within a word."""
    return token.removeprefix(_CONTINUES) if len(token) > len(_CONTINUES) else token


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    model = models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True),
        ]
    )
    runs = pre_tokenizers.Split(Regex(f".{{1,{_LONGEST_WORD}}}"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), runs])
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _characters(learner: Tokenizer, texts: Sequence[str]) -> list[str]:
    """The characters that occur at least twice, the commonest first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(learner.normalizer.normalize_str(text))
    known = [c for c, count in counts.items() if count >= _LEAST_COUNT and not c.isspace()]
    return sorted(known, key=lambda c: (-counts[c], c))


def _goes_on(learner: Tokenizer, character: str) -> bool:
    """Whether the character can stand within a word."""
    normal = learner.normalizer.normalize_str(f"a{character}")
    return len(learner.pre_tokenizer.pre_tokenize_str(normal)) == 1
