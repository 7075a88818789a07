"""Promises of vocabulary trimming: fewer tokens, the same pieces, the same answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import SMALL
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import RobertaConfig

from trimtab import pretrained
from trimtab.columns import OUTPUTS, encode_rows, fit, restore
from trimtab.columns.text import TextColumn
from trimtab.compress import Skip
from trimtab.compress.vocabulary import trim
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import Architecture, EncoderEntry

Texts = tuple[str, ...]

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CHINESE = ["房间很干净，服务很好。", "房间又小又脏，服务很差。", "早餐不错，离地铁站很近", "前台态度恶劣，再也不会来了"]
STRANGE = "Zyzzyva 🦜 naïve\tquokka"  # holds what no review does
LABELS = fit("label", "sentiment", "sentiment", ["negative", "positive"], {})


@pytest.fixture(scope="module")
def texts(reviews_csv: Path) -> Texts:
    with reviews_csv.open(newline="", encoding="utf-8") as file:
        return tuple(row["review"] for row in csv.DictReader(file))[:1500]


def learnt(tokenizer: Tokenizer, trainer: Any, texts: Iterable[str]) -> dict[str, Any]:
    tokenizer.train_from_iterator(texts, trainer)
    definition: dict[str, Any] = json.loads(tokenizer.to_str())
    return definition


@cache
def word_pieces(texts: Texts) -> dict[str, Any]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return learnt(tokenizer, trainers.WordPieceTrainer(vocab_size=3000, special_tokens=SPECIAL), texts)


@cache
def byte_level(texts: Texts) -> dict[str, Any]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=SPECIAL, initial_alphabet=alphabet)
    return learnt(tokenizer, trainer, texts)


@cache
def sentence_pieces(texts: Texts) -> dict[str, Any]:
    """BPE as sentencepiece's models are converted to: no words, and bytes for characters that are not known."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    definition = learnt(tokenizer, trainers.BpeTrainer(vocab_size=3000, special_tokens=[*SPECIAL, *BYTES]), texts)
    own = [token for token in definition["added_tokens"] if token["content"] not in BYTES]
    spaces = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    normalizer = {"type": "Sequence", "normalizers": spaces}
    return {**definition, "added_tokens": own, "pre_tokenizer": None, "normalizer": normalizer}


@cache
def unigram(texts: Texts) -> dict[str, Any]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    trainer = trainers.UnigramTrainer(vocab_size=3000, special_tokens=SPECIAL, unk_token="<unk>")
    definition = learnt(tokenizer, trainer, texts)
    mask = {**definition["added_tokens"][0], "id": len(definition["model"]["vocab"]), "content": "<mask>"}
    return {**definition, "added_tokens": [*definition["added_tokens"], mask]}  # at the end, as XLM-R has it


@cache
def whole_words(texts: Texts) -> dict[str, Any]:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return learnt(tokenizer, trainers.WordLevelTrainer(vocab_size=3000, special_tokens=SPECIAL), texts)


KINDS = [word_pieces, byte_level, sentence_pieces, unigram, whole_words]


def column(definition: dict[str, Any], name: str = "review", **parts: Any) -> TextColumn:
    return TextColumn(name, name, parts.pop("max_tokens", 128), 1, json.dumps(definition), **parts)


def network(
    encoder: str, inputs: Sequence[Any], config: dict[str, Any] | None = None, output: Any = LABELS
) -> FittedNetwork:
    """One encoder for all inputs, weights drawn."""
    entry = EncoderEntry(name=encoder, reads=tuple(column.key for column in inputs), config=config or {})
    shape = Architecture(width=32, encoders=(entry,), fusion="mean", dropout=0.1, head=output.type)
    return built(shape, inputs, output, seed=7)


def outputs(trained: FittedNetwork, values: dict[str, Sequence[Any]]) -> np.ndarray:
    rows = encode_rows(trained.inputs, values)
    tensors = {name: torch.from_numpy(part) for name, part in rows.batch(np.arange(len(rows))).items()}
    with torch.no_grad():
        return trained.network(tensors)[OUTPUTS].values.numpy()


def pieces(trained: FittedNetwork, texts: Sequence[Any], place: int = 0) -> list[list[str]]:
    column = trained.inputs[place]
    assert isinstance(column, TextColumn)
    return [[str(column.tokenizer.id_to_token(token)) for token in row] for row in column.encode(texts)]


def trimmed(trained: FittedNetwork, values: dict[str, Sequence[Any]], tokens: int | None = None) -> FittedNetwork:
    found = trim(trained, values, tokens)
    assert isinstance(found, FittedNetwork), found
    return found


def size(trained: FittedNetwork, place: int = 0) -> int:
    return trained.inputs[place].vocabulary  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [None, 700])
def test_texts_whose_tokens_are_kept_have_the_same_pieces_and_answers(
    kind: Callable[..., Any], tokens: int | None, texts: Texts
) -> None:
    trained = network("textcnn", [column(kind(texts))])
    made = trimmed(trained, {"review": texts[:200]}, tokens)
    vocabulary = made.inputs[0].tokenizer.get_vocab()  # type: ignore[attr-defined]
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert len(vocabulary) <= (tokens or 2_900)
    # Words of unseen texts, for hardly a whole text is made of 700 tokens.
    asked = [*texts[:100], *(word for text in texts[200:400] for word in text.split())]
    whole = [t for t, found in zip(asked, pieces(trained, asked), strict=True) if set(found) <= set(vocabulary)]
    assert len(whole) >= 200
    assert len({*texts[:100]} - {*whole}) <= (0 if tokens is None else 100)
    assert pieces(made, whole) == pieces(trained, whole)
    some = {"review": whole[::20]}
    assert np.abs(outputs(made, some) - outputs(trained, some)).max() <= 1e-6
    assert made.made == (f"{len(vocabulary):,} of {size(trained):,} tokens",)
    assert made.parameters == trained.parameters - 32 * (size(trained) - len(vocabulary))


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_keep_their_order_and_special_ones_their_meaning(kind: Callable[..., Any], texts: Texts) -> None:
    trained = network("textcnn", [column(kind(texts))])
    made = trimmed(trained, {"review": texts[:50]}, 400)
    before, after = (t.inputs[0].tokenizer for t in (trained, made))  # type: ignore[attr-defined]
    kept = [after.id_to_token(token) for token in range(size(made))]
    assert sorted(kept, key=before.token_to_id) == kept
    assert [token.content for token in after.get_added_tokens_decoder().values()] == [
        token.content for token in before.get_added_tokens_decoder().values()
    ]
    assert kept[made.inputs[0].pad_id] == "<pad>"  # type: ignore[attr-defined]
    assert pieces(made, [""]) == pieces(trained, [""])  # the special tokens around a text


@pytest.mark.parametrize("kind", [byte_level, sentence_pieces])
def test_a_text_that_no_row_resembles_falls_apart_into_bytes_and_nothing_of_it_is_lost(
    kind: Callable[..., Any], texts: Texts
) -> None:
    made = trimmed(network("textcnn", [column(kind(texts))]), {"review": texts[:50]}, 400)
    (found,) = pieces(made, [STRANGE])
    assert "<unk>" not in found
    (whole,) = pieces(network("textcnn", [column(kind(texts))]), [STRANGE])
    assert as_bytes(found) == as_bytes(whole)
    assert len(found) > len(whole)


def as_bytes(found: Sequence[str]) -> str:
    return "".join(chr(int(piece[3:5], 16)) if piece in BYTES else piece for piece in found)


def test_with_few_tokens_frequent_words_stay_and_rare_ones_fall_apart(texts: Texts) -> None:
    trained = network("textcnn", [column(word_pieces(texts))])
    made = trimmed(trained, {"review": texts}, 500)
    assert size(made) == 500
    assert pieces(made, ["the phone"])[0][1:-1] == ["the", "phone"]
    rare = pieces(made, ["disappointment"])[0][1:-1]
    assert len(rare) > len(pieces(trained, ["disappointment"])[0][1:-1])
    assert "".join(piece.removeprefix("##") for piece in rare) == "disappointment"


def test_what_no_text_can_hold_takes_no_place() -> None:
    definition = deepcopy(word_pieces((*CHINESE, "[unused7] good rooms")))
    for useless in ("[unused7]", "##房", "Good"):
        definition["model"]["vocab"][useless] = len(definition["model"]["vocab"])
    made = trimmed(network("textcnn", [column(definition)]), {"review": CHINESE})
    kept = made.inputs[0].tokenizer.get_vocab()  # type: ignore[attr-defined]
    assert not {"[unused7]", "##房", "Good"} & set(kept)
    assert {"房", "好", "##s"} <= set(kept)


@pytest.mark.slow
def test_the_bundled_base_gives_the_same_states_with_half_its_tokens(tmp_path: Path, texts: Texts) -> None:
    base = pretrained.find("minilm", "text", tmp_path, tmp_path)
    review = fit("text", "review", "review", texts[:200], base.options)
    entry = EncoderEntry(name="text", reads=("review",), config=base.config)
    shape = Architecture(width=base.width, encoders=(entry,), fusion="mean", dropout=0.1, head="label")
    trained = built(shape, [review], LABELS)
    pretrained.load_weights(base, trained.network.encoders["in_review"])
    made = trimmed(trained, {"review": texts})
    assert 3_000 < size(made) < 15_000
    assert made.architecture.encoders[0].config["vocab_size"] == size(made)
    asked = {"review": texts[::300]}
    assert np.abs(outputs(made, asked) - outputs(trained, asked)).max() <= 1e-6
    assert not any("[UNK]" in found for found in pieces(made, ["Zyzzyva quokka naïve!", *CHINESE[:1]])[:1])


@pytest.mark.parametrize("encoder", ["textcnn", "lstm", "bilstm", "gru", "transformer", "compact"])
def test_every_encoder_of_texts_shrinks(encoder: str, texts: Texts) -> None:
    blocks = {"width": 32, "head_width": 16, "layers": [{"heads": 2, "neurons": 64}], "positions": 128}
    trained = network(encoder, [column(word_pieces(texts))], blocks if encoder == "compact" else {})
    made = trimmed(trained, {"review": texts[:100]})
    assert made.parameters < trained.parameters
    asked = {"review": texts[:20]}
    assert np.abs(outputs(made, asked) - outputs(trained, asked)).max() <= 1e-6


def test_texts_read_together_have_one_set_of_tokens_and_positions_stay_behind_the_padding(texts: Texts) -> None:
    definition = deepcopy(byte_level(texts))
    last = len(definition["model"]["vocab"])
    definition["added_tokens"].append({**definition["added_tokens"][0], "id": last, "content": "<sep>"})
    inputs = [column(definition, "title"), column(definition, "body", dropped=1, opening=(2, last))]
    config = RobertaConfig(vocab_size=last + 64, pad_token_id=1, max_position_embeddings=260, **SMALL).to_dict()
    trained = network("text", inputs, config)
    values = {"title": texts[:60], "body": texts[60:120]}
    made = trimmed(trained, values)
    assert size(made, 0) == size(made, 1) < size(trained)
    assert made.inputs[0].tokenizer.get_vocab() == made.inputs[1].tokenizer.get_vocab()  # type: ignore[attr-defined]
    assert pieces(made, ["good"], 1)[0][:2] == ["</s>", "<sep>"]
    assert np.abs(outputs(made, values) - outputs(trained, values)).max() <= 1e-6


def test_padding_that_is_not_the_first_token_stays_where_positions_count_from_it(texts: Texts) -> None:
    config = RobertaConfig(vocab_size=3000, pad_token_id=9, max_position_embeddings=260, **SMALL).to_dict()
    padded = TextColumn("review", "review", 128, 9, json.dumps(whole_words(texts)))
    made = trimmed(network("text", [padded], config), {"review": ["battery"]}, 12)
    assert made.inputs[0].pad_id == made.architecture.encoders[0].config["pad_token_id"] == 9  # type: ignore[attr-defined]
    assert pieces(made, ["battery"]) == [["battery"]]


def test_an_unknown_character_costs_a_unigram_model_what_it_did() -> None:
    scores = {"<unk>": 0, "a": -9, "b": -9, "c": -9, "d": -9, "Xab": -19, "cd": -15, "abcd": -2, "zzz": -30, "yy": -9}
    tokenizer = Tokenizer(models.Unigram([(piece, float(score)) for piece, score in scores.items()], unk_id=0))
    bare = TextColumn("review", "review", 16, 0, tokenizer.to_str())
    trained = network("textcnn", [bare])
    made = trimmed(trained, {"review": ["Xabcd", "abcd"]}, 9)
    assert size(made) == 9
    assert pieces(made, ["Xabcd"]) == pieces(trained, ["Xabcd"]) == [["Xab", "cd"]]


def test_lists_of_words_are_trimmed_too(texts: Texts) -> None:
    rows = [text.split()[:40] for text in texts[:60]]
    tags = fit("tags", "tags", "tags", [["O" if word.islower() else "NAME" for word in row] for row in rows], {})
    trained = network("bilstm", [column(word_pieces(texts), words=True)], output=tags)
    made = trimmed(trained, {"review": rows})
    assert size(made) < size(trained)
    assert np.abs(outputs(made, {"review": rows}) - outputs(trained, {"review": rows})).max() <= 1e-6


def test_several_encoders_are_trimmed_each_for_its_own_text_beside_other_inputs(texts: Texts) -> None:
    price = fit("number", "price", "price", ["1", "2", "3.5"], {})
    inputs = [column(word_pieces(texts), "title"), price, column(unigram(texts), "body")]
    names = ["textcnn", "number", "gru"]
    entries = tuple(EncoderEntry(name=n, reads=(c.key,)) for n, c in zip(names, inputs, strict=True))
    shape = Architecture(width=32, encoders=entries, fusion="mean", dropout=0.1, head="label")
    trained = built(shape, inputs, LABELS)
    values = {"title": texts[:60], "price": [1.5] * 60, "body": texts[60:120]}
    made = trimmed(trained, values)
    assert size(made, 0) != size(made, 2)
    assert [step.split(":")[0] for step in made.made] == ["title", "body"]
    assert np.abs(outputs(made, values) - outputs(trained, values)).max() <= 1e-6


OWN = """
import torch
from torch import nn
from trimtab.nets.states import single

class {name}Encoder(nn.Module):
    types, states_width = frozenset({{"text"}}), 32

    def __init__(self, columns, width, config):
        super().__init__()
        self.key = columns[0].key
        self.words = {table}

    def forward(self, tensors):
        mask = tensors[self.key + "_mask"].unsqueeze(-1)
        ids = tensors[self.key + "_ids"]{of}
        return single((self.words(ids) * mask).sum(1) / mask.sum(1) + self.words.weight[-1])
"""


@pytest.fixture
def own_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "encoders").mkdir()
    rows = {
        "own_table": ("nn.Embedding(columns[0].vocabulary + 1, width)", ""),
        "own_hash": ("nn.Embedding(64, width)", " % 64"),
        "own_size": ("nn.Embedding(5000, width)", ""),
    }
    for module, (table, of) in rows.items():
        code = OWN.format(name=module.title().replace("_", ""), table=table, of=of)
        (tmp_path / "encoders" / f"{module}.py").write_text(code)
    monkeypatch.setenv("TRIMTAB_PARTS", str(tmp_path))


def test_an_encoder_that_a_user_wrote_shrinks_with_its_column(own_encoders: None, texts: Texts) -> None:
    trained = network("own_table", [column(word_pieces(texts))])
    made = trimmed(trained, {"review": texts[:60]})
    asked = {"review": texts[:20]}
    assert np.abs(outputs(made, asked) - outputs(trained, asked)).max() <= 1e-6


@pytest.mark.parametrize("encoder", ["own_hash", "own_size"])
def test_an_encoder_that_reads_ids_in_a_way_of_its_own_is_left_alone(
    own_encoders: None, encoder: str, texts: Texts
) -> None:
    found = trim(network(encoder, [column(word_pieces(texts))]), {"review": texts[:60]})
    assert found == Skip(f"review: the encoder {encoder} reads tokens in a way of its own")


def test_what_cannot_be_trimmed_is_skipped_with_a_reason(texts: Texts) -> None:
    price = fit("number", "price", "price", ["1", "2"], {})
    assert trim(network("number", [price]), {"price": ["1"]}) == Skip("no input is a text")
    trained = network("textcnn", [column(word_pieces(texts))])
    assert trim(trained, {"review": ["", None]}) == Skip("review: no row holds a text")
    assert trim(trained, {}) == Skip("review: no row holds a text")
    again = trim(trimmed(trained, {"review": texts}, 500), {"review": texts}, 500)
    assert again == Skip("review: every one of its 500 tokens is kept")
    clip = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    marked = learnt(clip, trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIAL, end_of_word_suffix="</w>"), texts)
    found = trim(network("textcnn", [column(marked)]), {"review": texts[:60]})
    assert found == Skip("review: its tokenizer is a BPE with end of word suffix")


def test_trimming_changes_nothing_in_what_it_was_given_and_gives_the_same_again(texts: Texts) -> None:
    trained = network("textcnn", [column(byte_level(texts))])
    before = {name: weight.clone() for name, weight in trained.network.state_dict().items()}
    one, other = (trimmed(trained, {"review": texts[:60]}) for _ in range(2))
    assert all(torch.equal(weight, before[name]) for name, weight in trained.network.state_dict().items())
    assert one.inputs == other.inputs
    states = [made.network.state_dict() for made in (one, other)]
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())


def test_a_trimmed_column_is_stored_like_any_other(tmp_path: Path, texts: Texts) -> None:
    made = trimmed(network("textcnn", [column(unigram(texts))]), {"review": texts[:60]}).inputs[0]
    made.save(tmp_path)
    again = restore(tmp_path, json.loads((tmp_path / "review.json").read_text(encoding="utf-8")))
    assert again == made
