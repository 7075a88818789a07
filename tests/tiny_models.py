"""Tiny pretrained-model folders with random weights, in the shapes that users bring."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BertConfig,
    DistilBertConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MarianConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
)
from transformers.models.auto import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

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


# Language models: heads of keys that several heads of questions share, tables that are the last layer too, biases.
_GROUPED = {**SMALL, "num_key_value_heads": 1, "max_position_embeddings": 256}
WRITING = {
    "gpt2": lambda v, ends: GPT2Config(vocab_size=v, n_embd=32, n_layer=2, n_head=2, n_positions=256, **ends),
    "llama": lambda v, ends: LlamaConfig(vocab_size=v, tie_word_embeddings=True, **_GROUPED, **ends),
    "qwen2": lambda v, ends: Qwen2Config(vocab_size=v, **_GROUPED, **ends),
    "gemma": lambda v, ends: GemmaConfig(vocab_size=v, head_dim=16, **_GROUPED, **ends),
}
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_pieces(texts: Iterable[str], size: int = 500, chat: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer of GPT-2's kind, learnt from `texts`; with `chat`, one that knows conversations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=sorted(alphabet))
    tokenizer.train_from_iterator(texts, trainer)
    end = special[2] if chat else special[0]
    found = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, additional_special_tokens=special[1:])
    if chat:
        found.chat_template = CHAT
    return found


def save_writing(folder: Path, shape: str, texts: Iterable[str], chat: bool = False, seed: int = 0) -> Path:
    """Write the folder of a language model as `save_pretrained` does."""
    torch.manual_seed(seed)
    tokenizer = byte_pieces(texts, chat=chat)
    ends = {"bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.eos_token_id}
    config = WRITING[shape](len(tokenizer), ends)
    config.initializer_range = 0.1  # so that what is written hangs on what was read
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


# Models with an encoder and a decoder. What BART writes begins with the same token always.
_HALVES = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64, "init_std": 0.1,
}  # fmt: skip
_ENDS = {"pad_token_id": 0, "eos_token_id": 3}
TRANSLATING = {
    "marian": lambda v: MarianConfig(vocab_size=v, decoder_start_token_id=0, **_HALVES, **_ENDS),
    "bart": lambda v: BartConfig(vocab_size=v, decoder_start_token_id=3, bos_token_id=2, **_HALVES, **_ENDS),
    "t5": lambda v: T5Config(
        vocab_size=v, d_model=32, d_kv=12, d_ff=48, num_layers=2, num_heads=3, decoder_start_token_id=0, **_ENDS
    ),
}  # fmt: skip


def save_translating(folder: Path, shape: str, pairs: Iterable[tuple[str, str]], steps: int = 60) -> Path:
    """Write the folder of a model with an encoder and a decoder as `save_pretrained` does.

    It has learnt the pairs for some steps: one that has not says the same token again and again.
    """
    torch.manual_seed(0)
    asked, said = zip(*pairs, strict=True)
    tokenizer = word_pieces([*asked, *said], 100)
    tokenizer.eos_token = "[SEP]"
    model = AutoModelForSeq2SeqLM.from_config(TRANSLATING[shape](len(tokenizer)))
    model.generation_config.forced_bos_token_id = 2 if shape == "bart" else None
    model.generation_config.forced_eos_token_id = None
    read = tokenizer(list(asked), padding=True, return_tensors="pt", return_token_type_ids=False)
    labels = tokenizer(list(said), padding=True, return_tensors="pt").input_ids
    labels = labels if shape == "bart" else labels[:, 1:]
    labels = labels.masked_fill(labels == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(steps):
        model(**read, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
