"""CTranslate2 in int8 with the very weights of a bundle that translates: `... ASKED.json FOLDER`.

ASKED.json says where the weights are, the network's shape, and the ids of each sentence; FOLDER takes the converted
model. Printed are the ids of each answer, sentences/s of all at once and the latency of one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from safetensors.numpy import load_file

from benchmarks.measure import answer_with, cores, latency, steady_rows_per_second

_TIMED = 200  # sentences that are translated one by one
_BATCH = 64  # sentences that are translated together, those of like length


def main(asked_path: str, folder: str) -> None:
    """Convert, translate, print."""
    asked = json.loads(Path(asked_path).read_text(encoding="utf-8"))
    convert(asked, Path(folder))
    translator = ctranslate2.Translator(folder, compute_type="int8", inter_threads=1, intra_threads=cores())

    def answer(sources: Sequence[Sequence[str]]) -> list[list[str]]:
        found = translator.translate_batch(
            sources, max_batch_size=_BATCH, beam_size=asked["beams"], max_decoding_length=asked["longest"]
        )
        return [one.hypotheses[0] for one in found]

    sources = [[str(one) for one in ids] for ids in asked["sources"]]
    answers = answer(sources)  # which warms up, too
    answer_with(
        {
            "answers": [[int(token) for token in tokens] for tokens in answers],
            "rows_per_second": steady_rows_per_second(answer, sources, seconds=10),
            "latency": latency(lambda ids: answer([ids]), sources[:_TIMED]),
        }
    )


def convert(asked: dict[str, Any], folder: Path) -> None:
    """Write the weights as CTranslate2 reads them; its tokens are the ids as words."""
    weights = load_file(asked["weights"])
    (encoder,) = (key.removesuffix(".embed.table.weight") for key in weights if key.endswith(".embed.table.weight"))
    heads = asked["heads"]
    layers = sum(key.startswith(f"{encoder}.blocks.") and key.endswith(".out.weight") for key in weights)
    read = transformer_spec.TransformerEncoderSpec(layers, heads, activation=common_spec.Activation.GELU)
    written = transformer_spec.TransformerDecoderSpec(asked["layers"], heads, activation=common_spec.Activation.RELU)
    spec = transformer_spec.TransformerSpec(read, written)
    table = weights[f"{encoder}.embed.table.weight"]
    read.embeddings[0].weight = written.embeddings.weight = table
    read.scale_embeddings = written.scale_embeddings = False
    read.position_encodings.encodings = weights[f"{encoder}.positions.weight"]
    written.position_encodings.encodings = weights["head.positions.weight"]
    _norm(read.layer_norm, weights, f"{encoder}.norm")
    _norm(written.layer_norm, weights, "head.norm")
    written.projection.weight, written.projection.bias = table, weights["head.bias"]
    for number, layer in enumerate(read.layer):
        name = f"{encoder}.blocks.{number}"
        _norm(layer.self_attention.layer_norm, weights, f"{name}.attention_norm")
        _norm(layer.ffn.layer_norm, weights, f"{name}.norm")
        maps = [*layer.self_attention.linear, layer.ffn.linear_0, layer.ffn.linear_1]
        _maps(maps, weights, name, ("queries", "out", "inner", "outer"))
    for number, layer in enumerate(written.layer):
        name = f"head.blocks.{number}"
        parts = (layer.self_attention, layer.attention, layer.ffn)
        for place, part in enumerate(parts):
            _norm(part.layer_norm, weights, f"{name}.norms.{place}")
        maps = [*layer.self_attention.linear, *layer.attention.linear, layer.ffn.linear_0, layer.ffn.linear_1]
        _maps(maps, weights, name, ("own", "own_out", "asks", "read", "read_out", "inner", "outer"))
    tokens = [str(one) for one in range(len(table))]
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.bos_token = spec.config.decoder_start_token = str(asked["bos"])
    spec.config.eos_token, spec.config.unk_token = str(asked["eos"]), str(asked["pad"])
    spec.config.add_source_bos = spec.config.add_source_eos = False
    spec.validate()
    spec.optimize(quantization="int8")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _norm(part: Any, weights: dict[str, np.ndarray], name: str) -> None:
    part.gamma, part.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def _maps(parts: Sequence[Any], weights: dict[str, np.ndarray], name: str, called: Sequence[str]) -> None:
    for part, own in zip(parts, called, strict=True):
        part.weight, part.bias = weights[f"{name}.{own}.weight"], weights[f"{name}.{own}.bias"]


if __name__ == "__main__":
    main(*sys.argv[1:])
