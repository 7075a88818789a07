"""Fewer bits: every precision runs, is smaller and answers nearly the same; what does not bear it is found."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits

from trimtab import columns, export
from trimtab.columns import OUTPUTS, EncodedRows, encode_rows
from trimtab.compress import qat, quantize, sensitivity
from trimtab.compress.rewrite import large_weights, weighted
from trimtab.errors import TrimtabError
from trimtab.nets import fitted
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.search import assembly

Batch = dict[str, np.ndarray]
# At most this share of the bytes in fp32 is left, of weights and graph together.
SMALLER = {"fp16": 0.6, "int8": 0.35, "int8_blocks": 0.4, "int8_static": 0.4, "int8_int4": 0.35, "int4": 0.35}


@dataclass(frozen=True)
class Case:
    """A small network that has learnt something, its file, and batches of rows that it has not seen."""

    model: FittedNetwork
    source: Path
    rows: EncodedRows
    targets: torch.Tensor
    seen: list[Batch]
    unseen: list[Batch]


def learn(network: Network, rows: EncodedRows, targets: torch.Tensor, steps: int, rate: float = 2e-3) -> None:
    """A few steps on the first two thirds of the rows, with the same dropout at every call."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), rate)
    rng = np.random.default_rng(0)
    network.train()
    for _ in range(steps):
        picked = rng.choice(len(rows) * 2 // 3, 32, replace=False)
        tensors = {name: torch.from_numpy(value) for name, value in rows.batch(picked).items()}
        loss = torch.nn.functional.cross_entropy(network(tensors)[OUTPUTS].values, targets[picked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()


def case(folder: Path, kind: str, values: list[Any], answers: list[str], encoder: EncoderEntry, options: Any) -> Case:
    """Train on the values, and export."""
    column = columns.kind(kind, "test").fit(kind, kind, values, options)
    output = columns.kind("label", "test").fit("answer", "answer", answers, {})
    architecture = Architecture(width=64, encoders=(encoder,), fusion="mean", dropout=0.0, head="label")
    model = fitted.built(architecture, [column], output, seed=1)
    rows = encode_rows([column], {kind: values})
    targets = torch.from_numpy(np.asarray(output.targets(answers)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learn(model.network, rows, targets, 60)
    export.export(model.network, [column], rows.batch(np.arange(3)), folder / "model.onnx")
    batches = [rows.batch(part) for part in np.array_split(np.arange(len(rows)), 6)]
    return Case(model, folder / "model.onnx", rows, targets, batches[:4], batches[4:])


def png(pixels: np.ndarray) -> bytes:
    """A picture's file."""
    stream = io.BytesIO()
    Image.fromarray((pixels * 15).astype(np.uint8)).save(stream, "png")
    return stream.getvalue()


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory, reviews: list[dict[str, Any]], tiny_base: Path) -> Case:
    """Reviews, read by a transformer."""
    encoder = EncoderEntry(name="transformer", reads=("text",), config={"layers": 2, "heads": 2})
    values, answers = ([str(row[name]) for row in reviews] for name in ("review", "sentiment"))
    options = {"tokenizer": str(tiny_base / "tokenizer.json"), "max_tokens": 32}
    return case(tmp_path_factory.mktemp("texts"), "text", values, answers, encoder, options)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Scikit-learn's handwritten digits, read by convolutions."""
    digits = load_digits()
    values, answers = [png(one) for one in digits.images[:360]], [str(one) for one in digits.target[:360]]
    encoder = EncoderEntry(name="cnn", reads=("image",), config={"channels": 64, "stages": 2})
    return case(tmp_path_factory.mktemp("pictures"), "image", values, answers, encoder, {})


@pytest.fixture(params=["texts", "pictures"])
def either(request: pytest.FixtureRequest) -> Case:
    """Both of them, one after the other."""
    found: Case = request.getfixturevalue(request.param)
    return found


def size(model: Path) -> int:
    """Bytes of the graph and of its weights."""
    return sum(path.stat().st_size for path in model.parent.glob(f"{model.name}*"))


# ------------------------------------------------------------------------------------------------------ precisions


def test_every_precision_is_tried() -> None:
    assert set(SMALLER) == set(quantize.PRECISIONS)


@pytest.mark.parametrize("name", SMALLER)
def test_a_precision_is_smaller_and_answers_nearly_the_same(either: Case, name: str, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    quantize.quantize(name, either.source, target, either.seen)
    there, here = (sensitivity.answers(model, either.unseen) for model in (either.source, target))
    assert size(target) < SMALLER[name] * size(either.source)
    assert sensitivity.distortion(here, there) < 0.03
    assert (here.argmax(1) == there.argmax(1)).mean() > 0.95
    assert len(np.unique(there.argmax(1))) > 1  # the network has not one answer for all


@pytest.mark.parametrize("name", SMALLER)
def test_neither_the_other_rows_nor_padding_change_an_answer(either: Case, name: str, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    quantize.quantize(name, either.source, target, either.seen)
    picked = np.arange(len(either.rows))[-40:]
    together = sensitivity.answers(target, [either.rows.batch(picked)])
    alone = sensitivity.answers(target, [either.rows.batch(np.array([row])) for row in picked])
    apart = np.abs(together - alone).max(axis=1)
    # A number that lies between two grid points may be rounded to the other one, by the order of sums in a batch.
    assert np.mean(apart < 1e-5) >= 0.9
    assert apart.max() < 1e-3 < 0.1 < np.ptp(together)


def otherwise(source: Path, target: Path, factor: Callable[[tuple[int, ...]], Any], part: str = "") -> Path:
    """The file with the floats of its tensors called like `part` times a factor for each, by their shape."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and part in tensor.name and not tensor.name.startswith("int8/"):
            values = numpy_helper.to_array(tensor)
            changed = np.where(np.abs(values) < 1e30, values * factor(values.shape), values)
            tensor.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), tensor.name))
    export.write(model, target)
    return target


@pytest.mark.parametrize("name", ["int8", "int4", "int8_blocks"])
def test_golden_rows_bear_another_machines_rounding_and_no_damage(texts: Case, name: str, tmp_path: Path) -> None:
    made, rng = tmp_path / "model.onnx", np.random.default_rng(0)
    quantize.quantize(name, texts.source, made, texts.seen)
    whole, here = (sensitivity.answers(path, texts.seen) for path in (texts.source, made))
    allowed = assembly.tolerated(whole, here)
    rounded = otherwise(made, tmp_path / "there.onnx", lambda shape: 1 + 1e-6 * rng.normal(size=shape))
    # Without its scales a file has one answer for all rows. What is only a little wrong, its checksum finds: where a
    # network bears 4 bits badly, which depends on the processor that it learnt on, that is less than rounding moves.
    lost = otherwise(made, tmp_path / "damaged.onnx", np.zeros, "/scale")
    there, damaged = (sensitivity.answers(path, texts.seen) for path in (rounded, lost))
    assert np.abs(there - here).max() < allowed < np.abs(damaged - here).max()
    assert allowed > assembly.tolerated(whole)


def test_a_golden_row_may_differ_by_more_the_larger_the_outputs_are() -> None:
    outputs = np.array([[0.5, -0.25], [0.125, 0.0]])
    assert assembly.tolerated(outputs) == 1e-4
    assert assembly.tolerated(outputs * 1000) == pytest.approx(0.05)
    assert assembly.tolerated(np.array([[0.5, -1e9]])) == 1e-4
    assert assembly.tolerated(np.zeros((3, 2)), np.zeros((3, 2))) == 1e-4


@pytest.mark.parametrize("name", SMALLER)
def test_the_same_file_gives_the_same_bytes_and_names_no_folder(either: Case, name: str, tmp_path: Path) -> None:
    written = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        quantize.quantize(name, either.source, folder / "model.onnx", either.seen)
        files = sorted(folder.iterdir())
        assert [path.name for path in files] == ["model.onnx", "model.onnx.data"]
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]
    assert not any(str(tmp_path).encode() in data or str(Path.cwd()).encode() in data for data in written[0])


@pytest.mark.parametrize("name", SMALLER)
def test_a_kept_node_computes_with_its_weight_in_fp32(either: Case, name: str, tmp_path: Path) -> None:
    graph = onnx.load(either.source).graph
    node = weighted(graph)[-2]
    quantize.quantize(name, either.source, tmp_path / "model.onnx", either.seen, [node.name])
    made = onnx.load(tmp_path / "model.onnx").graph
    assert [one.input[1] for one in made.node if one.name == node.name and one.op_type == node.op_type] == [
        node.input[1]
    ]
    left = {weight.name for weight in large_weights(graph)} & {weight.name for weight in large_weights(made)}
    assert len(left) == 1
    assert left < set(node.input)


def test_convolutions_become_integer_ones_where_ranges_are_known(pictures: Case, tmp_path: Path) -> None:
    quantize.int8_static(pictures.source, tmp_path / "model.onnx", pictures.seen)
    graph = onnx.load(tmp_path / "model.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv" and not large_weights(graph)]
    assert convolutions
    assert all({made_by[name] for name in node.input} == {"DequantizeLinear"} for node in convolutions)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(TrimtabError, match=r"(?s)no precision named 'int9'.*int8_static"):
        quantize.quantize("int9", Path("a"), Path("b"))
    with pytest.raises(TrimtabError, match="int8_static has no rows to calibrate on"):
        quantize.quantize("int8_static", Path("a"), Path("b"))


@pytest.mark.parametrize("name", SMALLER)
def test_a_table_that_is_read_in_two_ways_is_stored_once(name: str, tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], name="looked_up"),
        helper.make_node("Transpose", ["table"], ["turned"], name="turned"),
        helper.make_node("MatMul", ["rows", "turned"], ["outputs"], name="scored"),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows"])
    scores = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["rows", 64])
    graph = helper.make_graph(nodes, "tied", [ids], [scores], [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    export.write(model, tmp_path / "source.onnx")
    batches = [{"ids": np.arange(64)}]
    quantize.quantize(name, tmp_path / "source.onnx", tmp_path / "model.onnx", batches)
    made = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert sum(np.prod(one.dims) >= table.size for one in made) == 1
    assert sensitivity.distortion(sensitivity.answers(tmp_path / "model.onnx", batches), table @ table.T) < 1e-3


# ----------------------------------------------------------------------------------------------------- sensitivity


def test_a_layer_with_outliers_is_left_in_fp32(texts: Case, tmp_path: Path) -> None:
    """The network computes the same: what one number of the norm is divided by, its weights are multiplied with."""
    weights = {name: value.clone() for name, value in texts.model.network.state_dict().items()}
    (norm,), (queries,) = (
        [n for n in weights if n.endswith(end)] for end in (".0.attention_norm.weight", ".0.queries.weight")
    )
    for name in (norm, norm.replace("weight", "bias")):
        weights[name][0] /= 3000
    weights[queries][:, 0] *= 3000
    model = fitted.built(texts.model.architecture, texts.model.inputs, texts.model.output, weights)
    source = tmp_path / "model.onnx"
    export.export(model.network, model.inputs, texts.rows.batch(np.arange(3)), source)
    same = sensitivity.answers(source, texts.unseen) - sensitivity.answers(texts.source, texts.unseen)
    found = sensitivity.sensitive(source, quantize.int8, texts.unseen, limit=0.01)
    graph = onnx.load(source).graph
    large = {weight.name for weight in large_weights(graph) if np.abs(numpy_helper.to_array(weight)).max() > 50}
    assert np.abs(same).max() < 1e-3
    assert found.keep == tuple(node.name for node in graph.node if large & set(node.input))
    assert found.distortion <= 0.01 < sensitivity.sensitive(source, quantize.int8, texts.unseen, limit=1e9).distortion


def test_a_network_that_bears_it_keeps_nothing(either: Case) -> None:
    found = sensitivity.sensitive(either.source, quantize.int8, either.unseen, limit=0.03)
    assert found.keep == ()
    assert found.distortion <= 0.03


def test_distortion_is_a_share_of_the_spread() -> None:
    reference = np.array([[1.0, 0.0, -1e9], [3.0, 4.0, -1e9]])
    assert sensitivity.distortion(reference, reference) == 0
    assert sensitivity.distortion(reference + np.array([1, 0, 0]), reference) == pytest.approx(0.5 / 2.5)
    assert sensitivity.distortion(np.full_like(reference, np.nan), reference) == np.inf


# --------------------------------------------------------------------------------------- quantization-aware training


@pytest.mark.parametrize("aware", [True, False])
def test_weights_trained_on_the_grid_stay_on_it(texts: Case, aware: bool) -> None:
    model = _trained_further(texts, aware)
    linear = next(p for p in model.network.modules() if isinstance(p, torch.nn.Linear) and p.weight.numel() >= 1024)
    codes, scales = quantize.symmetric(linear.weight.detach().numpy(), 4, (1,))
    moved = np.abs(codes * scales - linear.weight.detach().numpy()).max()
    assert (moved < 1e-6) == aware


def test_the_rounding_of_training_is_that_of_the_file(texts: Case, tmp_path: Path) -> None:
    target = tmp_path / "few.onnx"
    quantize.int8(texts.source, target, bits=2)
    file = sensitivity.answers(target, texts.unseen)
    whole = sensitivity.answers(texts.source, texts.unseen)
    model, rounded = _copy(texts.model), []
    with qat.fake_quantized(model.network, bits=2), torch.no_grad():
        for batch in texts.unseen:
            rounded.append(
                model.network({name: torch.from_numpy(value) for name, value in batch.items()})[OUTPUTS].values.numpy()
            )
    assert sensitivity.distortion(np.concatenate(rounded), file) < 0.01 * sensitivity.distortion(whole, file)


def test_a_network_is_as_before_behind_the_rounding(texts: Case) -> None:
    model = _copy(texts.model)
    names, tensors = list(model.network.state_dict()), {n: torch.from_numpy(v) for n, v in texts.unseen[0].items()}
    before = model.network(tensors)[OUTPUTS].values
    with qat.fake_quantized(model.network):
        inside = model.network(tensors)[OUTPUTS].values
        assert list(model.network.state_dict()) == names
    assert not [part for part in model.network.modules() if vars(part).get("forward")]
    assert 0 < float((inside - before).detach().abs().max()) < 0.5
    outside = model.network(tensors)[OUTPUTS].values  # activations are no longer rounded
    assert float((outside - inside).detach().abs().max()) < 0.25


def _copy(model: FittedNetwork) -> FittedNetwork:
    return fitted.built(model.architecture, model.inputs, model.output, model.network.state_dict())


def _trained_further(texts: Case, aware: bool) -> FittedNetwork:
    """Forty more steps, with the weights on a grid of 4 bits or as they are."""
    model = _copy(texts.model)
    if not aware:
        learn(model.network, texts.rows, texts.targets, 40)
        return model
    with qat.fake_quantized(model.network, bits=4):
        learn(model.network, texts.rows, texts.targets, 40)
    return model
