"""Pruning: by structure, by a latency table of this machine, and of single weights."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import save
from sklearn.datasets import load_digits

from trimtab import columns, runtime
from trimtab.columns import OUTPUTS, EncodedRows, encode_rows
from trimtab.columns.image import ImageColumn
from trimtab.columns.label import LabelColumn
from trimtab.compress import Skip, latency, predict, prune, quantize, sparsity
from trimtab.export import export
from trimtab.nets.encoders.compact import Block, Layer, Options
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import Architecture, EncoderEntry
from trimtab.nets.states import answer
from trimtab.train.batches import tensors_of

LAYER = {"heads": 4, "neurons": 128}
COMPACT = {"width": 32, "head_width": 8, "layers": [LAYER, LAYER], "positions": 64, "dropout": 0.0}
CPU = torch.device("cpu")


class Task:
    """A trained network, the rows that it learnt, and rows that it did not."""

    def __init__(self, trained: FittedNetwork, values: list[Any], answers: list[str], epochs: int, rate: float) -> None:
        self.name = trained.inputs[0].name
        half = 2 * len(values) // 3
        self.values = {self.name: values[half:]}
        self.rows, self.test = (encode_rows(trained.inputs, {self.name: v}) for v in (values[:half], values[half:]))
        self.targets, self.wanted = (trained.output.targets(part) for part in (answers[:half], answers[half:]))
        self.trained = replace(trained, network=self.learn(trained, epochs, rate))
        self.measured = prune.importance(self.trained, self.rows, prune.own_loss(self.trained, self.targets))

    def learn(self, trained: FittedNetwork, epochs: int, rate: float) -> Any:
        network, loss = trained.network.train(), prune.own_loss(trained, self.targets)
        optimizer = torch.optim.AdamW(network.parameters(), rate)
        for epoch in range(epochs):
            order = np.random.default_rng(epoch).permutation(len(self.rows))
            for batch in np.array_split(order, max(1, len(order) // 32)):
                loss(network(tensors_of(self.rows, batch, CPU)), batch).mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        return network.eval()

    @torch.no_grad()
    def outputs(self, trained: FittedNetwork, rows: EncodedRows | None = None) -> np.ndarray:
        rows = rows or self.test
        return trained.network(tensors_of(rows, np.arange(len(rows)), CPU))[OUTPUTS].values.numpy()

    def accuracy(self, trained: FittedNetwork) -> float:
        return float((self.outputs(trained).argmax(1) == self.wanted).mean())

    def by_share(self, **shares: float) -> FittedNetwork:
        found = prune.by_share(self.trained, self.measured, **shares)
        assert isinstance(found, FittedNetwork), found
        return found

    def loss(self, trained: FittedNetwork) -> float:
        outputs = answer(torch.from_numpy(self.outputs(trained, self.rows)))
        return float(prune.own_loss(trained, self.targets)(outputs, np.arange(len(self.rows))).mean())

    def upside_down(self) -> list[prune.Measured]:
        return [replace(one, importance=-one.importance) for one in self.measured]


@pytest.fixture(scope="module")
def texts(reviews_csv: Path) -> Task:
    """A compact encoder that has learnt to tell reviews apart."""
    with reviews_csv.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))[:900]
    values = [row["review"] for row in found]
    text = columns.fit("text", "review", "review", values, {"max_tokens": 48})
    mood = LabelColumn.fit("sentiment", "sentiment", [row["sentiment"] for row in found], {})
    trained = network("compact", text, mood, COMPACT, 32)
    return Task(trained, values, [row["sentiment"] for row in found], 6, 3e-3)


@pytest.fixture(scope="module")
def digits() -> Task:
    """A small cnn that has learnt handwritten digits, 8 x 8 pixels."""
    pictures, numbers = load_digits(return_X_y=True)
    values = [(picture.reshape(8, 8) * 15).astype(np.uint8) for picture in pictures[:900]]
    answers = [str(number) for number in numbers[:900]]
    photo = ImageColumn("photo", "photo", 1, 8, 8, "crop", 1.0, "bilinear", (75.0,), (90.0,))
    digit = LabelColumn.fit("digit", "digit", answers, {})
    trained = network("cnn", photo, digit, {"channels": 32, "stages": 2}, 32)
    return Task(trained, values, answers, 6, 3e-3)


def network(name: str, column: Any, output: Any, config: dict[str, Any], width: int) -> FittedNetwork:
    entry = EncoderEntry(name=name, reads=(column.key,), config=config)
    shape = Architecture(width=width, encoders=(entry,), fusion="mean", dropout=0.0, head="label")
    return built(shape, (column,), output, seed=1)


def config(trained: FittedNetwork) -> dict[str, Any]:
    return trained.architecture.encoders[0].config


# ------------------------------------------------------------------------------------------------------- structure


@pytest.mark.parametrize("shares", [{"heads": 0.5}, {"neurons": 0.25}, {"heads": 0.5, "neurons": 0.5}])
def test_what_matters_least_is_missed_less_than_what_matters_most(texts: Task, shares: dict[str, float]) -> None:
    worst = prune.by_share(texts.trained, texts.upside_down(), **shares)
    assert isinstance(worst, FittedNetwork)
    assert texts.loss(texts.by_share(**shares)) < texts.loss(worst)


def test_what_stays_takes_over_what_it_can_of_the_rest(texts: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = texts.outputs(texts.trained)
    fitted = np.abs(texts.outputs(texts.by_share(neurons=0.25)) - whole).mean()
    monkeypatch.setattr(prune, "_RIDGE", 1e9)  # so that nothing is taken over
    assert fitted < 0.8 * np.abs(texts.outputs(texts.by_share(neurons=0.25)) - whole).mean()


def test_the_network_is_as_much_smaller_as_was_asked(texts: Task) -> None:
    found = texts.by_share(heads=0.5, neurons=0.5)
    layers = config(found)["layers"]
    assert sum(layer["heads"] for layer in layers) == 4
    assert sum(layer["neurons"] for layer in layers) == 128
    assert found.made == ("4 of 8 heads, 128 of 256 neurons",)
    per_head, per_neuron = 4 * 8 * 32 + 3 * 8, 2 * 32 + 1
    assert texts.trained.parameters - found.parameters == 4 * per_head + 128 * per_neuron
    assert config(texts.trained)["layers"] == [LAYER, LAYER]  # the argument is left as it was


def test_a_unit_that_gives_nothing_goes_first_and_leaves_the_answers_as_they_were(texts: Task) -> None:
    weights = {name: value.clone() for name, value in texts.trained.network.state_dict().items()}
    weights["encoders.in_review.blocks.1.out.weight"][:, 8:16] = 0  # the second head
    weights["encoders.in_review.blocks.0.outer.weight"][:, ::4] = 0
    idle = built(texts.trained.architecture, texts.trained.inputs, texts.trained.output, weights)
    found = prune.prune(idle, texts.rows, texts.targets, heads=7 / 8, neurons=1 - 32 / 256)
    assert isinstance(found, FittedNetwork)
    assert [layer["heads"] for layer in config(found)["layers"]] == [4, 3]
    assert [layer["neurons"] for layer in config(found)["layers"]] == [96, 128]
    np.testing.assert_allclose(texts.outputs(found), texts.outputs(idle), atol=1e-4)


def test_a_pruned_network_can_be_built_and_pruned_again(texts: Task) -> None:
    once = texts.by_share(heads=0.5)
    again = prune.prune(once, texts.rows, texts.targets, neurons=0.5)
    assert isinstance(again, FittedNetwork)
    assert again.made == ("4 of 8 heads", "128 of 256 neurons")
    rebuilt = built(again.architecture, again.inputs, again.output, again.network.state_dict())
    np.testing.assert_array_equal(texts.outputs(rebuilt), texts.outputs(again))


def test_channels_are_pruned_by_what_they_matter(digits: Task) -> None:
    found = digits.by_share(neurons=0.5)
    worst = prune.by_share(digits.trained, digits.upside_down(), neurons=0.5)
    assert isinstance(worst, FittedNetwork)
    assert config(found)["channels"] == 16
    assert found.parameters < 0.5 * digits.trained.parameters
    assert digits.accuracy(digits.trained) > 0.9
    assert digits.loss(found) < digits.loss(worst)


def test_a_trunk_that_becomes_as_wide_as_the_states_keeps_its_map_to_them(digits: Task) -> None:
    trained = network("cnn", *digits_columns(digits), {"channels": 64, "stages": 2}, 32)
    found = prune.prune(trained, digits.rows, digits.targets, neurons=0.5)
    assert isinstance(found, FittedNetwork)
    assert config(found)["channels"] == 24


def digits_columns(digits: Task) -> tuple[Any, Any]:
    return digits.trained.inputs[0], digits.trained.output


def test_all_blocks_of_our_transformer_stay_alike(texts: Task) -> None:
    text, mood = texts.trained.inputs[0], texts.trained.output
    trained = network("transformer", text, mood, {"layers": 2, "heads": 2}, 32)
    found = prune.prune(trained, texts.rows, texts.targets, neurons=0.5)
    assert isinstance(found, FittedNetwork)
    assert config(found)["feed_forward"] == 64
    whole = prune.prune(trained, texts.rows, texts.targets, heads=0.5)
    assert isinstance(whole, Skip)


def test_what_has_no_units_to_prune_is_skipped_with_the_reason(texts: Task) -> None:
    text, mood = texts.trained.inputs[0], texts.trained.output
    found = prune.prune(network("gru", text, mood, {}, 32), texts.rows, texts.targets, neurons=0.5)
    assert isinstance(found, Skip)
    assert "compact" in found.reason
    assert "gru" in found.reason


# --------------------------------------------------------------------------------------------------------- latency


@pytest.fixture(scope="module")
def exported(texts: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export(texts.trained.network, texts.trained.inputs, texts.test.batch(np.arange(3)), path)
    return path


@pytest.fixture(scope="module")
def table(texts: Task, exported: Path) -> latency.Table:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "_SECONDS", 0.5)
        found = latency.measure(texts.trained, texts.values, exported, threads=1)
    assert isinstance(found, latency.Table)
    return found


def test_predicted_latency_falls_with_heads_and_neurons(texts: Task, table: latency.Table) -> None:
    assert table.heads == (0, 1, 2, 4)
    assert table.neurons == (0, 16, 64, 128)
    whole = latency.predicted(texts.trained, table)
    smaller = latency.predicted(texts.by_share(heads=0.25, neurons=0.25), table)
    assert whole is not None
    assert smaller is not None
    assert 0 <= table.fixed <= smaller <= whole
    assert table.block(0, 0) < table.block(4, 128)


@pytest.mark.parametrize("precision", ["int8", "int8_blocks"])
def test_blocks_are_timed_in_the_precision_that_is_served(tmp_path: Path, texts: Task, precision: str) -> None:
    shape = latency._shape(texts.trained, [(4, 128)])
    call = latency._block_call(shape, (4, 128), 2, 7, precision, tmp_path / "blocks.onnx", 1)
    (states,) = call()
    assert states.shape == (2, 7, 32)
    assert (tmp_path / "blocks.fp32.onnx").exists()


def test_the_timed_blocks_compute_what_a_compact_block_does(tmp_path: Path, texts: Task) -> None:
    shape = latency._shape(texts.trained, [(4, 128)])
    onnx.save(latency._blocks(shape, 4, 128), tmp_path / "blocks.onnx")
    weights = {w.name: numpy_helper.to_array(w).copy() for w in onnx.load(tmp_path / "blocks.onnx").graph.initializer}
    block = Block(Options(**COMPACT), Layer(**LAYER)).eval()
    with torch.no_grad():
        for part, name in {"queries": "linear0", "out": "out0", "inner": "inner0", "outer": "outer0"}.items():
            block.get_submodule(part).weight.copy_(torch.from_numpy(weights[f"{name}_weight"].T))
            block.get_submodule(part).bias.zero_()
        values = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0))
        expected = block(values, torch.ones(2, 1, 1, 7, dtype=torch.bool)).numpy()
    session = runtime.open_session(tmp_path / "blocks.onnx", 1)
    (found,) = session.run(None, {"states0": values.numpy(), "seen": np.ones((2, 7), np.int32)})
    np.testing.assert_allclose(found, expected, atol=1e-3)  # the norms add another epsilon


def test_no_block_is_timed_of_a_network_that_has_none(digits: Task, exported: Path) -> None:
    assert isinstance(latency.measure(digits.trained, digits.values, exported), Skip)


def test_pruning_to_a_latency_ends_at_it(texts: Task, table: latency.Table) -> None:
    whole = latency.predicted(texts.trained, table)
    assert whole is not None
    wanted = table.fixed + 0.6 * (whole - table.fixed)
    found = prune.by_latency(texts.trained, texts.measured, table, wanted)
    assert isinstance(found, FittedNetwork), found
    reached = latency.predicted(found, table)
    assert reached is not None
    assert reached <= wanted + 1e-9
    assert np.isfinite(texts.outputs(found)).all()
    assert isinstance(prune.by_latency(texts.trained, texts.measured, table, whole + 1), Skip)
    assert isinstance(prune.by_latency(texts.trained, texts.measured, table, 0.0), Skip)


def test_per_saved_millisecond_the_dear_part_goes_first(texts: Task) -> None:
    found = {}
    for kind, by_heads, by_neurons in (("heads", (1.0, 9.0), (8.9, 9.0)), ("neurons", (8.9, 9.0), (1.0, 9.0))):
        table = latency.Table((0, 4), by_heads, (0, 128), by_neurons, 1, 10, None)
        pruned = prune.to_latency(texts.trained, texts.rows, texts.targets, table, 12.0)
        assert isinstance(pruned, FittedNetwork)
        found[kind] = sum(layer[kind] / LAYER[kind] for layer in config(pruned)["layers"])
        other = "neurons" if kind == "heads" else "heads"
        assert found[kind] < sum(layer[other] / LAYER[other] for layer in config(pruned)["layers"])


def test_a_part_that_goes_whole_leaves_what_it_gave_on_average(texts: Task) -> None:
    weights = {name: value.clone() for name, value in texts.trained.network.state_dict().items()}
    for reader in ("blocks.0.out", "blocks.1.out", "blocks.1.outer"):
        weights[f"encoders.in_review.{reader}.weight"][:] = 0
        weights[f"encoders.in_review.{reader}.bias"][:] = torch.linspace(-1, 1, 32)
    idle = built(texts.trained.architecture, texts.trained.inputs, texts.trained.output, weights)
    table = latency.Table((0, 4), (3.0, 4.0), (0, 128), (3.0, 4.0), 1, 10, None)  # a part is 1 ms
    found = prune.to_latency(idle, texts.rows, texts.targets, table, 5.0)
    assert isinstance(found, FittedNetwork)
    assert config(found)["layers"] == [{"heads": 0, "neurons": 128}, {"heads": 0, "neurons": 0}]
    np.testing.assert_allclose(texts.outputs(found), texts.outputs(idle), atol=1e-4)


# -------------------------------------------------------------------------------------------------- single weights


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_exactly_the_asked_share_of_each_matrix_is_zero(texts: Task, share: float) -> None:
    found = sparsity.sparse(texts.trained, share)
    assert isinstance(found, FittedNetwork)
    matrices = {name: value for name, value in found.network.state_dict().items() if value.ndim > 1}
    assert len(matrices) > 5
    for name, value in matrices.items():
        assert int((value == 0).sum()) == round(share * value.numel()), name
        kept = value[value != 0].abs().min()
        assert kept >= texts.trained.network.state_dict()[name][value == 0].abs().max()
    assert sparsity.zeros(texts.trained.network) < 0.01  # the argument is left as it was


def test_equal_weights_do_not_make_the_share_larger() -> None:
    layer = torch.nn.Linear(10, 10)
    torch.nn.init.constant_(layer.weight, 0.5)
    sparsity.apply(layer, 0.3)
    sparsity.apply(layer, 0.4)
    assert sparsity.zeros(layer) == pytest.approx(0.4)


def test_zeros_make_the_file_smaller_only_when_it_is_compressed(texts: Task) -> None:
    found = sparsity.sparse(texts.trained, 0.8)
    assert isinstance(found, FittedNetwork)
    plain, thin = (save(trained.network.state_dict()) for trained in (texts.trained, found))
    assert len(thin) == len(plain)
    assert len(gzip.compress(thin)) < 0.5 * len(gzip.compress(plain))


def test_the_schedule_rises_fast_at_first_and_ends_at_the_share() -> None:
    schedule = sparsity.Schedule(0.8, 100)
    shares = [schedule.share(step) for step in range(0, 121, 20)]
    assert shares[0] == 0
    assert shares[-1] == shares[-2] == pytest.approx(0.8)
    steps = np.diff(shares[:-1])
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()


def test_a_share_outside_0_and_1_is_skipped(texts: Task) -> None:
    assert isinstance(sparsity.sparse(texts.trained, 1.0), Skip)


# ------------------------------------------------------------------------------------------------------ predictions


@pytest.mark.parametrize(
    "precision",
    ["int8_int4", *(pytest.param(name, marks=pytest.mark.slow) for name in ("none", "fp16", "int8"))],
)
def test_bytes_are_predicted_before_a_network_is_exported(texts: Task, tmp_path: Path, precision: str) -> None:
    small = texts.by_share(heads=0.5, neurons=0.25)
    sizes = [
        exported_megabytes(one, tmp_path / str(number), precision) for number, one in enumerate((texts.trained, small))
    ]
    known = predict.Predictor(precision, texts.trained, {"size": sizes[0]})
    predicted = known.costs_of(small)["size"]
    assert sizes[1] < sizes[0]
    assert predicted == pytest.approx(sizes[1], rel=0.03)


def exported_megabytes(network: FittedNetwork, folder: Path, precision: str) -> float:
    """MB of the ONNX files."""
    folder.mkdir()
    rows = encode_rows(network.inputs, {network.inputs[0].name: ["so good", "bad", "never again"]})
    export(network.network, network.inputs, rows.batch(np.arange(3)), folder / "model.onnx")
    if precision != "none":
        quantize.quantize(precision, folder / "model.onnx", folder / "small.onnx")
        for path in folder.glob("model.onnx*"):
            path.unlink()
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def test_times_are_predicted_by_tables_and_without_one_by_the_weights_that_are_multiplied(texts: Task) -> None:
    small = texts.by_share(heads=0.5, neurons=0.25)
    costs = {"latency": 2.0, "latency_p95": 3.0, "throughput": 1000.0}
    table = latency.Table((0, 4), (1.0, 2.0), (0, 128), (1.0, 2.0), 1, 8, "int8", fixed=1.0)
    of_both = [latency.predicted(one, table) for one in (texts.trained, small)]
    found = predict.Predictor("int8", texts.trained, costs, [table]).costs_of(small)
    assert found["latency"] == pytest.approx(2.0 * of_both[1] / of_both[0])
    assert found["latency_p95"] == pytest.approx(3.0 * of_both[1] / of_both[0])
    assert 1000 < found["throughput"] < 1000 / predict._WHATEVER
    again = predict.Predictor("int8", texts.trained, costs, [table]).taught(small, {"latency": 1.7})
    assert again.costs_of(small)["latency"] == 1.7
