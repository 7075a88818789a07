"""The same networks write the same, token for token, whether transformers' `generate` asks them or the program does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
)

from trimtab.columns import EncodedRows, named, ragged
from trimtab.programs._options import Options
from trimtab.programs.stepwise import IDS, StepwiseProgram

VOCABULARY, PAD, MOST = 60, 0, 14
EOS = [2, 11, 23, 35, 47]  # several, so that networks that were never trained end now and then
LENGTHS = (5, 1, 9, 3, 7, 4)


class Network:
    """One that transformers has, asked as the program asks."""

    def __init__(self, model: PreTrainedModel, decoder: Any, head: Any) -> None:
        self.model, self.decoder, self.head = model, decoder, head

    @torch.no_grad()
    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in tensors.items()}
        own, layers = DynamicCache(), sum(name.startswith("past_k_") for name in given)
        for layer in range(layers if given["past_k_0"].shape[2] else 0):
            own.update(given[f"past_k_{layer}"], given[f"past_v_{layer}"], layer)
        more: dict[str, Any] = {"position_ids": given["positions"], "past_key_values": own}
        if "memory_mask" in given:
            crossed = DynamicCache()
            for layer in range(layers):
                crossed.update(given[f"cross_k_{layer}"], given[f"cross_v_{layer}"], layer)
            both = EncoderDecoderCache(own, crossed)
            both.is_updated = dict.fromkeys(range(layers), True)
            unread = torch.zeros(len(given["ids"]), given["memory_mask"].shape[3], self.model.config.d_model)
            more = {"past_key_values": both, "encoder_hidden_states": unread}
            more["encoder_attention_mask"] = given["memory_mask"]
        states = self.decoder(input_ids=given["ids"], attention_mask=given["mask"], use_cache=True, **more)[0]
        wanted = states[torch.arange(len(states))[:, None], given["picked"]]
        present = {
            f"present_{kind}_{layer}": part
            for layer in range(layers)
            for kind, part in zip("kv", (own.layers[layer].keys, own.layers[layer].values), strict=True)
        }
        return {name: part.numpy() for name, part in ({"logits": self.head(wanted)} | present).items()}

    def batches(self, costs: np.ndarray) -> list[np.ndarray]:
        return [np.argsort(costs, kind="stable")]

    def outputs(self, rows: Any, picked: np.ndarray) -> Any:
        raise NotImplementedError

    def text(self, ids: Sequence[int]) -> str:
        raise NotImplementedError


class Encoder(Network):
    """The encoder of Marian, with the keys and values that each layer of the decoder makes of its states."""

    @torch.no_grad()
    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids, mask = (torch.from_numpy(tensors[f"source_{kind}"]) for kind in ("ids", "mask"))
        states = self.model.get_encoder()(input_ids=ids, attention_mask=mask)[0]
        found = {"memory_mask": ((1 - mask) * torch.finfo(torch.float32).min)[:, None, None, :].float()}
        for place, layer in enumerate(self.decoder.layers):
            for kind, project in (("k", layer.encoder_attn.k_proj), ("v", layer.encoder_attn.v_proj)):
                cut = project(states).unflatten(2, (self.model.config.decoder_attention_heads, -1))
                found[f"cross_{kind}_{place}"] = cut.transpose(1, 2)
        return {name: part.contiguous().numpy() for name, part in found.items()}


class Ids:
    """A column of token ids that nobody has to encode."""

    name = key = "source"

    def cost(self, encoded: Any) -> np.ndarray:
        return np.asarray(encoded.lengths)

    def batch(self, encoded: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        mask = np.arange(encoded.lengths[rows].max()) < encoded.lengths[rows][:, None]
        return {"source_ids": encoded.padded(rows, PAD), "source_mask": mask.astype(np.int64)}


@pytest.fixture(scope="module")
def rows() -> EncodedRows:
    random = np.random.default_rng(0)
    encoded = ragged([random.integers(3, VOCABULARY, size=size) for size in LENGTHS], np.zeros(0, np.int64))
    return EncodedRows((Ids(),), (encoded,), encoded.lengths)  # type: ignore[arg-type]


def gpt2() -> tuple[PreTrainedModel, dict[str, Network], dict[str, Any]]:
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = GPT2LMHeadModel(config).eval()
    shape = {"layers": 2, "kv_heads": 4, "head_size": 8, "prompt": ("source",), "bos": 0}
    return model, {"step": Network(model, model.transformer, model.lm_head)}, shape


def llama() -> tuple[PreTrainedModel, dict[str, Network], dict[str, Any]]:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.4,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    shape = {"layers": 2, "kv_heads": 2, "head_size": 8, "prompt": ("source",), "bos": 0}
    return model, {"step": Network(model, model.model, model.lm_head)}, shape


def marian() -> tuple[PreTrainedModel, dict[str, Network], dict[str, Any]]:
    config = MarianConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64, init_std=0.4,
        pad_token_id=PAD, eos_token_id=2, decoder_start_token_id=1, forced_eos_token_id=None,
    )  # fmt: skip
    model = MarianMTModel(config).eval()
    model.lm_head = torch.nn.Linear(32, VOCABULARY, bias=False)  # of its own: a tied one says the last token again
    torch.nn.init.normal_(model.lm_head.weight, std=0.5)
    decoder = model.model.decoder
    networks = {"encode": Encoder(model, decoder, None), "step": Network(model, decoder, model.lm_head)}
    return model, networks, {"layers": 2, "kv_heads": 4, "head_size": 8, "bos": 1}


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 4},
    "long beams": {"num_beams": 3, "length_penalty": 2.0},
    "short beams": {"num_beams": 5, "length_penalty": -1.0},
}


@pytest.mark.parametrize("make", [gpt2, llama, marian], ids=lambda make: make.__name__)
def test_answers_are_those_of_generate(make: Any, rows: EncodedRows) -> None:
    torch.manual_seed(1)
    model, networks, shape = make()
    ids = [torch.from_numpy(np.asarray(rows.encoded[0][row])) for row in range(len(rows))]
    flipped = [one.flip(0) for one in ids] if "encode" not in networks else ids  # to fill up on the left
    padded = torch.nn.utils.rnn.pad_sequence(flipped, batch_first=True, padding_value=PAD)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in flipped], batch_first=True)
    if "encode" not in networks:
        padded, mask = padded.flip(1), mask.flip(1)
    begun = padded.shape[1] if "encode" not in networks else 1
    lengths: list[int] = []
    for way, options in WAYS.items():
        found = model.generate(
            padded, attention_mask=mask, max_new_tokens=MOST, do_sample=False, eos_token_id=EOS, pad_token_id=PAD,
            **options,
        )  # fmt: skip
        expected = [_until_eos(row[begun:].tolist()) for row in found]
        ours = {"beams": options.get("num_beams", 1), "length_penalty": options.get("length_penalty", 1.0)}
        program = StepwiseProgram(Options(**shape, eos=tuple(EOS), longest=MOST, **ours))
        written = named(program.run(networks, rows).outputs)[IDS]
        assert [written[row].reshape(-1).tolist() for row in range(len(rows))] == expected, way
        lengths += map(len, expected)
    assert min(lengths) < max(lengths) == MOST


def _until_eos(ids: list[int]) -> list[int]:
    ends = [place for place, one in enumerate(ids) if one in EOS]
    return ids[: ends[0] + 1] if ends else ids
