"""Promises of the fusions: their formulas, their shapes, and that ONNX Runtime computes the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from trimtab.errors import TrimtabError
from trimtab.export import OPSET, write
from trimtab.nets.fusions._layers import each_input
from trimtab.nets.fusions.concat import ConcatFusion
from trimtab.nets.fusions.dcn import Cross, DcnFusion
from trimtab.nets.fusions.deepfm import DeepfmFusion
from trimtab.nets.fusions.ft_transformer import Block, FtTransformerFusion
from trimtab.nets.fusions.last import LastFusion
from trimtab.nets.fusions.mean import MeanFusion
from trimtab.nets.fusions.wide_deep import WideDeepFusion
from trimtab.nets.states import States, lay_end_to_end, single

WIDTH, INPUTS = 6, 3
PAIRS = INPUTS * (INPUTS - 1) // 2
FLAT = INPUTS * WIDTH
# Fusion, its options, and the width of its vector.
SHAPES: list[tuple[Any, dict[str, Any], int]] = [
    (MeanFusion, {}, FLAT),
    (LastFusion, {}, FLAT),
    (ConcatFusion, {}, 128),
    (ConcatFusion, {"hidden": []}, FLAT),
    (WideDeepFusion, {"hidden": [8, 5]}, FLAT + PAIRS + 5),
    (WideDeepFusion, {"hidden": [5], "crosses": False}, FLAT + 5),
    (DeepfmFusion, {"hidden": [8, 5]}, INPUTS + WIDTH + 5),
    (DcnFusion, {"hidden": [8, 5], "rank": 4}, FLAT + 5),
    (DcnFusion, {"hidden": [5], "rank": None, "layers": 3}, FLAT + 5),
    (FtTransformerFusion, {}, WIDTH),
]


def states(rows: int = 4, seed: int = 0) -> States:
    """Three inputs of 3, 1 and 2 steps; some steps masked, and the whole third input of the last row."""
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, 6, WIDTH)).astype(np.float32))
    mask = torch.ones(rows, 6, dtype=torch.bool)
    mask[::2, 2] = mask[1::2, 5] = mask[-1, 4:] = False
    return States(values, mask, torch.tensor([0, 0, 0, 1, 2, 2]))


def fusion(kind: Any, config: dict[str, Any], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made: nn.Module = kind(WIDTH, INPUTS, config).eval()
    return made


def means(given: States) -> Tensor:
    """Each input's mean, step by step: (rows, inputs, width)."""
    found = torch.zeros(len(given.values), INPUTS, WIDTH)
    for row in range(len(given.values)):
        for place in range(INPUTS):
            picked = given.values[row][given.mask[row] & (given.source == place)]
            found[row, place] = picked.mean(0) if len(picked) else 0.0
    return found


@pytest.mark.parametrize(("kind", "config", "width"), SHAPES)
def test_a_fusion_gives_the_shape_that_it_states(kind: Any, config: dict[str, Any], width: int) -> None:
    made = fusion(kind, config)
    assert made(states()).shape == (4, width)
    assert made.width == width


@pytest.mark.parametrize(("kind", "config", "width"), SHAPES)
def test_masked_steps_change_nothing(kind: Any, config: dict[str, Any], width: int) -> None:
    made, given = fusion(kind, config), states()
    changed = States(torch.where(given.mask.unsqueeze(-1), given.values, 1e3), given.mask, given.source)
    assert torch.equal(made(given), made(changed))


def test_several_steps_of_an_input_are_averaged_under_their_mask() -> None:
    given = states()
    assert torch.allclose(each_input(given, INPUTS), means(given), atol=1e-6)
    alone = States(given.values[:, :3], given.mask[:, :3], given.source[:3])
    assert torch.allclose(each_input(alone, 1), means(given)[:, :1], atol=1e-6)


def test_single_steps_are_their_own_means_to_the_last_bit() -> None:
    values = torch.randn(4, INPUTS, WIDTH)
    given = lay_end_to_end([single(values[:, place]) for place in range(INPUTS)])
    assert given.single
    assert torch.equal(each_input(given, INPUTS), values)
    assert torch.equal(each_input(replace(given, single=False), INPUTS), values)
    assert not lay_end_to_end([single(values[:, 0]), states()]).single


def test_second_order_of_deepfm_is_the_sum_of_all_products_of_pairs() -> None:
    each = means(states())
    made = fusion(DeepfmFusion, {"hidden": [5]})
    second = made(states())[:, INPUTS : INPUTS + WIDTH]
    products = sum(each[:, i] * each[:, j] for i, j in combinations(range(INPUTS), 2))
    assert torch.allclose(second, products, atol=1e-5)


def test_first_order_of_deepfm_is_a_weight_sum_of_each_input() -> None:
    made = fusion(DeepfmFusion, {"hidden": [5]})
    expected = torch.einsum("riw,iw->ri", means(states()), made.first)
    assert torch.allclose(made(states())[:, :INPUTS], expected, atol=1e-5)


@pytest.mark.parametrize("rank", [None, 2])
def test_a_cross_layer_is_x0_times_a_linear_map_plus_x(rank: int | None) -> None:
    torch.manual_seed(0)
    cross, first, value = Cross(8, rank), torch.randn(5, 8), torch.randn(5, 8)
    matrix = cross.up.weight if rank is None else cross.up.weight @ cross.down.weight
    expected = first * (torch.einsum("ij,rj->ri", matrix, value) + cross.up.bias) + value
    assert torch.allclose(cross(first, value), expected, atol=1e-6)


def test_a_cross_layer_of_full_rank_has_no_second_matrix() -> None:
    assert isinstance(Cross(8, 4).down, nn.Identity)  # two 4 x 8 matrices are as large as one 8 x 8
    assert sum(p.numel() for p in Cross(8, 2).parameters()) < sum(p.numel() for p in Cross(8, None).parameters())


def test_the_wide_part_has_every_state_and_the_product_of_every_pair() -> None:
    each = means(states())
    wide = fusion(WideDeepFusion, {"hidden": [5]})(states())[:, : FLAT + PAIRS]
    products = [(each[:, i] * each[:, j]).sum(1) for i, j in combinations(range(INPUTS), 2)]
    assert torch.allclose(wide, torch.cat([each.flatten(1), torch.stack(products, dim=1)], dim=1), atol=1e-5)


def test_the_deep_part_is_the_hidden_layers_over_all_inputs_side_by_side() -> None:
    made = fusion(ConcatFusion, {"hidden": [8, 5]})
    first, second = (layer for layer in made.layers if isinstance(layer, nn.Linear))
    expected = functional.relu(second(functional.relu(first(means(states()).flatten(1)))))
    assert torch.allclose(made(states()), expected, atol=1e-6)


def test_attention_of_the_transformer_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    block, tokens = Block(WIDTH, 2, 0.1).eval(), torch.randn(4, 5, WIDTH)
    normed = block.attention_norm(tokens)
    query, key, value = (
        part.view(4, 5, 2, WIDTH // 2).transpose(1, 2) for part in block.project(normed).chunk(3, dim=-1)
    )
    weights = torch.softmax(query @ key.transpose(2, 3) / (WIDTH // 2) ** 0.5, dim=-1)
    attended = tokens + block.merge((weights @ value).transpose(1, 2).reshape(4, 5, WIDTH))
    gate, inner = block.widen(block.feed_norm(attended)).chunk(2, dim=-1)
    assert torch.allclose(block(tokens), attended + block.narrow(functional.relu(gate) * inner), atol=1e-5)


def test_the_transformer_takes_any_width() -> None:
    assert FtTransformerFusion(7, 2, {"heads": 4}).blocks[0].heads == 1
    assert FtTransformerFusion(24, 2, {}).blocks[0].heads == 8


class Fused(nn.Module):
    """A fusion with plain tensors as arguments."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, values: Tensor, mask: Tensor, source: Tensor) -> Tensor:
        vectors: Tensor = self.inner(States(values, mask, source))
        return vectors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "config", "width"), [SHAPES[place] for place in (1, 2, 4, 6, 7, 9)])
def test_onnx_runtime_gives_the_same_vectors_for_any_rows_and_steps(
    tmp_path: Path, kind: Any, config: dict[str, Any], width: int
) -> None:
    made, given = Fused(fusion(kind, config)).eval(), states()
    rows, steps = Dim("rows"), Dim("steps")
    program = torch.onnx.export(
        made,
        (given.values, given.mask, given.source),
        dynamo=True,
        dynamic_shapes=({0: rows, 1: steps}, {0: rows, 1: steps}, {0: steps}),
        input_names=["values", "mask", "source"],
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    write(program.model_proto, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for other in (given, States(given.values[:1, :5], given.mask[:1, :5], given.source[:5]), states(9, seed=1)):
        feeds = {"values": other.values.numpy(), "mask": other.mask.numpy(), "source": other.source.numpy()}
        (vectors,) = session.run(None, feeds)
        with torch.no_grad():
            expected = made(other.values, other.mask, other.source).numpy()
        assert vectors.shape == (len(other.values), width)
        assert np.abs(vectors - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        (DeepfmFusion, {"hiden": [8]}, "fusion: no option named 'hiden'(.|\n)*'hidden'"),
        (DcnFusion, {"layers": 0}, "fusion: layers.*greater than or equal to 1"),
        (WideDeepFusion, {"hidden": []}, "fusion: hidden.*at least 1 item"),
        (FtTransformerFusion, {"dropout": 1}, "fusion: dropout.*less than 1"),
        (ConcatFusion, {"hidden": [8, 0]}, "fusion: hidden.*greater than 0"),
    ],
)
def test_a_wrong_option_of_a_fusion_says_why(kind: Any, config: dict[str, Any], said: str) -> None:
    with pytest.raises(TrimtabError, match=f"(?s){said}"):
        kind(WIDTH, INPUTS, config)
