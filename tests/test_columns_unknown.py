"""What a tokenizer does not know of a text is counted."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers

from trimtab.values.unknown import unknown_id, unknown_share


def test_unknown_tokens_are_counted_without_those_that_frame_a_text() -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "good": 1, "bad": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert unknown_share(tokenizer, ["good bad", "good x", "x y", ""]) == (0.5, 1 / 3)
    assert unknown_share(tokenizer, []) == (0.0, 0.0)


def test_the_unknown_token_of_each_kind_of_tokenizer_is_found() -> None:
    kinds = (
        (models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]"), 1),
        (models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"), 1),
        (models.Unigram([("a", -1.0), ("<unk>", 0.0)], unk_id=1), 1),
        (models.BPE({"a": 0}, []), None),
    )
    assert [unknown_id(Tokenizer(model)) for model, _ in kinds] == [expected for _, expected in kinds]
