"""Tiny pretrained-model folders with random weights, in the shapes that users bring."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)
from transformers.models.auto import AutoModel

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SHAPES = {
    "bert": lambda v: BertConfig(vocab_size=v, **SMALL),
    "distilbert": lambda v: DistilBertConfig(vocab_size=v, dim=32, n_layers=2, n_heads=2, hidden_dim=64),
    "roberta": lambda v: RobertaConfig(vocab_size=v, pad_token_id=0, max_position_embeddings=130, **SMALL),
    "xlm-roberta": lambda v: XLMRobertaConfig(vocab_size=v, pad_token_id=0, max_position_embeddings=130, **SMALL),
    "modernbert": lambda v: ModernBertConfig(vocab_size=v, pad_token_id=0, max_position_embeddings=128, **SMALL),
}


def word_pieces(texts: Iterable[str], size: int = 800) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer of BERT's kind (each Chinese character is a word of its own), learnt from `texts`."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


def save(folder: Path, shape: str, texts: Iterable[str], seed: int = 0) -> Path:
    """Write a model folder as `save_pretrained` does."""
    torch.manual_seed(seed)
    tokenizer = word_pieces(texts)
    AutoModel.from_config(SHAPES[shape](len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
