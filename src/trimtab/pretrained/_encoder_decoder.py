"""Models that read with an encoder and write with a decoder, with weights: Marian, BART, T5 and the like."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

from trimtab import files
from trimtab.errors import problem
from trimtab.pretrained import Base, Translating, Tuning, _source

# Shapes whose decoders count places from a table, or by distances: those of others are not known to be right.
SHAPES = ("marian", "bart", "mbart", "blenderbot-small", "pegasus", "t5", "mt5")
_MOST_POSITIONS = 1024  # of what is read: attention on a CPU is not paid for more
_ENDS = ("decoder_start_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id")


def made(name: str, source: str, config: Mapping[str, Any], workspace: Path) -> Base:
    """The base of a folder as `save_pretrained` writes it, or of a hub id; `workspace` receives its tokenizer.

    Raises TrimtabError for a shape that is not known, and for a tokenizer that cannot be read.
    """
    kind = config.get("model_type")
    if kind not in SHAPES:
        raise problem(f"base: {name}", f"an encoder with a decoder of type {kind!r}", ", ".join(SHAPES))
    try:
        with _source.quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(source)
        fast = tokenizer.backend_tokenizer
    except (OSError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise _source.unreadable(name, source, error) from None
    fast.no_padding()
    fast.no_truncation()
    workspace.mkdir(parents=True, exist_ok=True)
    definition = fast.to_str()
    path = workspace / f"{hashlib.sha256(definition.encode()).hexdigest()[:8]}.tokenizer.json"
    files.write(path, definition)
    start, end, pad, first = _ends(source, config)
    if start is None or end is None:
        lacking = "decoder_start_token_id" if start is None else "eos_token_id"
        raise problem(f"base: {name}", f"its configuration has no {lacking}", do="set it in config.json")
    translating = Translating(str(path), start, end, end if pad is None else pad, first)
    most = min(int(config.get("max_position_embeddings") or _MOST_POSITIONS), _MOST_POSITIONS)
    options = {"tokenizer": str(path), "pad_id": translating.pad, "limit": most}
    width, print_of = int(config["d_model"]), _source.fingerprint(Path(source), config)
    tuning = Tuning(
        rate=(5e-5, "a model that writes already: small steps keep what it knows"),
        epochs=(3, "a model that writes already: few rows are soon learnt by heart"),
    )
    return Base(
        name, "text", "encoder_decoder", source, config, width, options, print_of,
        tuning=tuning, translating=translating,
    )  # fmt: skip


def _ends(source: str, config: Mapping[str, Any]) -> tuple[int | None, ...]:
    """What begins, ends and fills up an answer, and its first token, where that is always the same."""
    said: dict[str, Any] = {}
    try:
        with _source.quiet():
            said = GenerationConfig.from_pretrained(source).to_dict()
    except (OSError, ValueError):
        said = {}  # older folders say it in config.json
    found = [config.get(name) if said.get(name) is None else said[name] for name in _ENDS]
    return tuple(None if one is None else int(one[0] if isinstance(one, list) else one) for one in found)


def weights(base: Base) -> dict[str, Tensor]:
    """All of them in fp32. Raises TrimtabError for weights that cannot be read, and where some are not there."""
    try:
        with _source.quiet():
            read: Any = AutoModelForSeq2SeqLM.from_pretrained(
                base.source, attn_implementation="eager", dtype="float32", output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise _source.unreadable(base.name, base.source, error) from None
    model, found = read
    if lacking := sorted(found["missing_keys"]):
        raise _source.unreadable(base.name, base.source, ValueError(f"it has no {lacking[0]}"))
    return dict(model.state_dict())
