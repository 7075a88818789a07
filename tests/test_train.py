"""Promises of the training loop, held on small real tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from head_losses import loss as loss_of
from sklearn.datasets import load_breast_cancer

from trimtab import columns, pretrained
from trimtab.columns import OUTPUTS, InputColumn, encode_rows, fit
from trimtab.columns.label import LabelColumn
from trimtab.errors import TrimtabError
from trimtab.metrics import named
from trimtab.nets.heads.label import LabelHead
from trimtab.nets.network import Architecture, Network, one_each
from trimtab.progress import Quiet
from trimtab.spec import parse
from trimtab.train import checkpoint, frozen, loop
from trimtab.train.batches import epoch_batches
from trimtab.train.method import TrainingData
from trimtab.train.optimizer import make, set_rates, use_sparse_gradients
from trimtab.train.settings import Settings, choose

CANCER = load_breast_cancer()
COLUMNS = [0, 1, 7, 20, 27]


class Notes(Quiet):
    """Keeps what a run remarks; stops it at a step, as a kill would."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.texts: list[str] = []
        self.stop_at = stop_at
        self.ticks = 0

    def note(self, text: str) -> None:
        self.texts.append(text)

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        self.ticks += 1
        if self.ticks == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def table() -> tuple[list[InputColumn], LabelColumn, TrainingData]:
    """Breast cancer: five numbers, benign or malignant; 400 rows to learn from, 169 to choose by."""
    values = {f"n{i}": [f"{x:.6g}" for x in CANCER.data[:, i]] for i in COLUMNS}
    labels = [CANCER.target_names[t] for t in CANCER.target]
    inputs = [fit("number", name, name, column[:400], {}) for name, column in values.items()]
    output = fit("label", "kind", "kind", labels, {})
    rows = {part: {k: v[cut] for k, v in values.items()} for part, cut in PARTS.items()}
    targets = output.targets(labels)
    data = TrainingData(
        encode_rows(inputs, rows["train"]), targets[:400], encode_rows(inputs, rows["valid"]), targets[400:], output
    )
    return inputs, output, data


@pytest.fixture(autouse=True)
def every_step_is_told(monkeypatch) -> None:
    """So that a run can be stopped at any step."""
    monkeypatch.setattr(loop, "_TELL_SECONDS", 0.0)


PARTS = {"train": slice(0, 400), "valid": slice(400, None)}


def settings_for(data: TrainingData, **changes: object) -> Settings:
    spec = parse({"data": "x.csv", "output": "y", "train": changes})
    counts = np.bincount(data.train_targets, minlength=data.output.width)
    return choose(spec, data.output, None, len(data.train), data.train.steps, counts, torch.device("cpu"))[0]


def architecture(inputs: list[InputColumn], dropout: float) -> Architecture:
    return Architecture(width=16, encoders=one_each(inputs), fusion="mean", dropout=dropout, head="label")


def network_for(inputs: list[InputColumn], output: LabelColumn) -> Network:
    torch.manual_seed(3)
    return Network(architecture(inputs, 0.2), inputs, output)


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one)


def test_a_small_network_learns_what_a_table_says(table, tmp_path: Path) -> None:
    inputs, output, data = table
    network = network_for(inputs, output)
    trained = loop.train(network, data, settings_for(data, epochs=8), tmp_path, Quiet())
    outputs = loop.predict(network, data.valid, 512, torch.device("cpu"))
    assert (outputs.argmax(1) == data.valid_targets).mean() > 0.93
    assert trained.history[-1]["loss"] < 0.5 * trained.history[0]["loss"]


@pytest.mark.parametrize("share", [0.2, 0.05, 0.02, 0.01])
def test_weights_and_smoothing_together_leave_every_row_its_own_class(share: float) -> None:
    counts = torch.tensor([1 - share, share]) * 1000
    weights = counts.sum() / (2 * counts)
    logits = torch.zeros(2, 2, requires_grad=True)  # of the rows of each class
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = (loss_of(LabelHead, logits, torch.tensor([0, 1]), weights, 0.1) * counts).sum() / counts.sum()
        total.backward()
        return total

    optimizer.step(loss)
    wanted = torch.tensor([[0.95, 0.05], [0.05, 0.95]])  # what smoothing of 0.1 asks for, whatever the weights
    assert torch.allclose(logits.detach().softmax(1), wanted, atol=2e-3)


def test_a_rare_class_and_one_without_rows_are_weighed_and_neither_wins(table, tmp_path: Path) -> None:
    inputs, _, data = table
    sizes = CANCER.data[:, 20]  # the worst radius, which is among the inputs
    rare = np.where(sizes >= np.sort(sizes)[-14], "b", "a").tolist()  # the largest 2.5%
    for classes in (["a", "b", "never"], ["never", "a", "b"]):
        output = fit("label", "kind", "kind", rare, {"classes": classes})
        targets = output.targets(rare)
        skewed = replace(data, output=output, train_targets=targets[:400], valid_targets=targets[400:])
        chosen = settings_for(skewed, epochs=12, label_smoothing=0.1, learning_rate=0.01)
        assert chosen.class_weights == "balanced"
        network = network_for(inputs, output)
        loop.train(network, skewed, chosen, tmp_path / classes[0], Quiet())
        answers = loop.predict(network, skewed.train, 512, torch.device("cpu")).argmax(1)
        assert (answers == skewed.train_targets).mean() > 0.97
        assert (answers == classes.index("b")).sum() >= 8


def test_a_class_without_rows_makes_no_even_classes_skewed() -> None:
    spec, output = parse({"data": "x", "output": "y"}), fit("label", "y", "y", ["a", "b"], {"classes": ["a", "b", "c"]})
    chosen, made = choose(spec, output, None, 60, np.ones(60, np.int64), np.array([30, 30, 0]), torch.device("cpu"))
    assert chosen.class_weights == "none"
    assert "100% of an even share" in made["train.class_weights"].reason


@pytest.mark.parametrize(
    ("stop_at", "ema_decay"),
    [
        (1, 0.9),
        (7, 0.0),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((25, 0.9), (26, 0.0), (26, 0.9), (30, 0.9))),
    ],
)
def test_a_stopped_run_goes_on_and_ends_with_the_same_weights(
    table, tmp_path: Path, stop_at: int, ema_decay: float
) -> None:
    inputs, output, data = table
    chosen = settings_for(data, epochs=3, checkpoint_seconds=0, ema_decay=ema_decay, evaluations=2)
    undisturbed = network_for(inputs, output)
    whole = loop.train(undisturbed, data, chosen, tmp_path / "whole", Quiet())
    with pytest.raises(KeyboardInterrupt):
        loop.train(network_for(inputs, output), data, chosen, tmp_path / "part", Notes(stop_at))
    resumed = network_for(inputs, output)
    torch.manual_seed(999)
    again = loop.train(resumed, data, chosen, tmp_path / "part", Quiet())
    assert same(weights(undisturbed), weights(resumed))
    keys = ("epoch", "step", "loss", "score")
    assert [[e[k] for k in keys] for e in again.history] == [[e[k] for k in keys] for e in whole.history]


def test_a_checkpoint_from_before_encoders_were_renamed_is_gone_on_from(table, tmp_path: Path) -> None:
    inputs, output, data = table
    chosen = settings_for(data, epochs=3, checkpoint_seconds=0, ema_decay=0.9, evaluations=2)
    undisturbed, resumed = network_for(inputs, output), network_for(inputs, output)
    loop.train(undisturbed, data, chosen, tmp_path / "whole", Quiet())
    with pytest.raises(KeyboardInterrupt):
        loop.train(network_for(inputs, output), data, chosen, tmp_path / "part", Notes(25))
    former = {present: key for key, present in resumed.former_names.items()}
    for name in ("last", "best"):
        tensors, states, position = checkpoint.read(tmp_path / "part", name) or ({}, None, None)
        old = formerly(tensors, former)
        assert old.keys() != tensors.keys()
        if states is not None:
            states = {**states, "ema_weights": formerly(states["ema_weights"], former)}
        checkpoint.write(tmp_path / "part", name, old, states, position)
    notes = Notes()
    loop.train(resumed, data, chosen, tmp_path / "part", notes)
    assert any(text.startswith("going on from epoch") for text in notes.texts)
    assert same(weights(undisturbed), weights(resumed))


def formerly(tensors: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Weights whose encoders are called as they once were; `names` are those by the present ones."""
    parts = {name: name.split(".") for name in tensors}
    return {".".join(names.get(part, part) for part in parts[name]): value for name, value in tensors.items()}


def test_a_finished_run_is_not_trained_again(table, tmp_path: Path) -> None:
    inputs, output, data = table
    chosen, notes = settings_for(data, epochs=2), Notes()
    first = network_for(inputs, output)
    loop.train(first, data, chosen, tmp_path, Quiet())
    second = network_for(inputs, output)
    loop.train(second, data, chosen, tmp_path, notes)
    assert notes.ticks == 0
    assert same(weights(first), weights(second))


def test_a_batch_that_does_not_fit_is_halved_and_teaches_the_same(table, tmp_path: Path, monkeypatch) -> None:
    inputs, output, data = table
    chosen = replace(settings_for(data, epochs=1), dropout=0.0)
    torch.manual_seed(3)
    whole = Network(architecture(inputs, 0.0), inputs, output)
    torch.manual_seed(3)
    halved = Network(architecture(inputs, 0.0), inputs, output)
    loop.train(whole, data, chosen, tmp_path / "whole", Quiet())
    small_memory = halved.forward

    def forward(tensors):  # a device with room for five rows
        if len(next(iter(tensors.values()))) > 5 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return small_memory(tensors)

    monkeypatch.setattr(halved, "forward", forward)
    notes = Notes()
    loop.train(halved, data, chosen, tmp_path / "halved", notes)
    assert any("out of memory" in text for text in notes.texts)
    for key, value in weights(whole).items():
        assert torch.allclose(value, weights(halved)[key], atol=1e-4)


def test_a_row_that_never_fits_is_a_clear_error(table, tmp_path: Path, monkeypatch) -> None:
    inputs, output, data = table
    network = network_for(inputs, output)

    def forward(tensors):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(network, "forward", forward)
    with pytest.raises(TrimtabError, match="single row does not fit"):
        loop.train(network, data, settings_for(data, epochs=1), tmp_path, Quiet())


def test_other_runtime_errors_are_not_taken_for_a_lack_of_memory(table, tmp_path: Path, monkeypatch) -> None:
    inputs, output, data = table
    network = network_for(inputs, output)

    def forward(tensors):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(network, "forward", forward)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        loop.train(network, data, settings_for(data, epochs=1), tmp_path, Quiet())


def test_the_best_weights_are_kept_and_patience_ends_the_run(table, tmp_path: Path) -> None:
    inputs, output, data = table
    chosen = settings_for(data, epochs=40, patience=2, learning_rate=0.05)
    network = network_for(inputs, output)
    trained = loop.train(network, data, chosen, tmp_path, Quiet())
    scores = [entry["score"] for entry in trained.history]
    assert len(scores) < 40
    outputs = loop.predict(network, data.valid, 512, torch.device("cpu"))
    assert (outputs.argmax(1) == data.valid_targets).mean() == pytest.approx(max(scores))


def test_accumulated_batches_give_the_gradient_of_one_large_batch(table, tmp_path: Path) -> None:
    inputs, output, data = table
    steps = int(data.train.steps[0])
    ends = []
    for rows, accumulate in [(100, 1), (25, 4)]:
        torch.manual_seed(3)
        network = Network(architecture(inputs, 0.0), inputs, output)
        chosen = replace(
            settings_for(data, epochs=1, accumulate=accumulate, optimizer="sgd", momentum=0.0, learning_rate=0.1),
            batch_tokens=rows * steps,
            batch_rows=rows,
        )
        # one step over all rows, however they are shuffled
        chosen = replace(chosen, accumulate=400 // rows)
        loop.train(network, data, chosen, tmp_path / str(rows), Quiet())
        ends.append(weights(network))
    assert all(torch.allclose(ends[0][key], ends[1][key], atol=1e-5) for key in ends[0])


@pytest.mark.parametrize(
    ("gates", "chosen"),
    [
        (["calibration_error", "accuracy"], "accuracy"),
        (["calibration_error"], "accuracy"),
        (["recall.b", "macro_f1"], "macro_f1"),
        (["auc", "accuracy"], "accuracy"),
        (["auc", "macro_f1"], "macro_f1"),
        (["size", "log_loss"], "log_loss"),
        (["size"], "accuracy"),
    ],
)
def test_the_metric_of_the_checkpoint_is_fit_to_choose_and_no_matter_of_the_order_of_gates(
    gates: list[str], chosen: str
) -> None:
    bounds = {"calibration_error": "<= 0.1", "log_loss": "<= 0.5", "size": "<= 9 MB"}
    output = fit("label", "y", "y", ["a", "b"], {})
    for order in (gates, gates[::-1]):
        spec = parse({"data": "x", "output": "y", "gates": {name: bounds.get(name, ">= 0.5") for name in order}})
        found, made = choose(spec, output, None, 60, np.ones(60), np.array([30, 30]), torch.device("cpu"))
        assert found.score == made["checkpoint"].value == chosen
        assert made["checkpoint"].reason


@pytest.mark.parametrize("kind", ["label", "labels", "number", "numbers", "ordinal", "tags", "ranking"])
def test_the_metrics_that_answers_are_told_by_may_choose_a_checkpoint(kind: str) -> None:
    column = columns.kind(kind, "output")
    assert named(column.headline).selects
    assert named(column.tie_break or column.headline).selects
    unfit = {"recall", "calibration_error", "coverage@10", "span_precision", "span_recall"}
    assert {name for name in column.metrics if not named(name).selects} == unfit & set(column.metrics)


def test_in_bf16_products_are_rounded_weights_are_not_and_it_learns_as_well(table, tmp_path: Path) -> None:
    inputs, output, data = table
    answers = {}
    for precision, computed in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        chosen = settings_for(data, epochs=8, precision=precision)
        network = network_for(inputs, output)
        found: set[torch.dtype] = set()
        watch = network.head.register_forward_hook(
            lambda _, given, outputs, found=found: found.add(outputs[OUTPUTS].values.dtype)
        )
        loop.train(network, data, chosen, tmp_path / precision, Quiet())
        watch.remove()
        assert computed in found
        assert {value.dtype for value in weights(network).values()} == {torch.float32}
        answers[precision] = loop.predict(network, data.valid, 512, torch.device("cpu"))
        assert answers[precision].dtype == np.float32
        assert (answers[precision].argmax(1) == data.valid_targets).mean() > 0.93
    assert not np.array_equal(answers["fp32"], answers["bf16"])
    assert (answers["fp32"].argmax(1) == answers["bf16"].argmax(1)).mean() > 0.95


def test_a_run_in_bf16_that_was_stopped_ends_with_the_same_weights(table, tmp_path: Path) -> None:
    inputs, output, data = table
    chosen = settings_for(data, epochs=2, checkpoint_seconds=0, precision="bf16")
    undisturbed, resumed = network_for(inputs, output), network_for(inputs, output)
    loop.train(undisturbed, data, chosen, tmp_path / "whole", Quiet())
    with pytest.raises(KeyboardInterrupt):
        loop.train(network_for(inputs, output), data, chosen, tmp_path / "part", Notes(7))
    loop.train(resumed, data, chosen, tmp_path / "part", Quiet())
    assert same(weights(undisturbed), weights(resumed))


@pytest.mark.parametrize(
    ("device", "asked", "precision"),
    [("cpu", "fp16", "fp32"), ("cpu", "bf16", "bf16"), ("cpu", "fp32", "fp32"), ("cuda", "fp16", "fp16")],
)
def test_fp16_on_a_cpu_is_told_to_be_fp32_and_all_else_is_as_it_was_asked(
    device: str, asked: str, precision: str
) -> None:
    spec, output = (
        parse({"data": "x", "output": "y", "train": {"precision": asked}}),
        fit("label", "y", "y", ["a", "b"], {}),
    )
    chosen, made = choose(spec, output, None, 60, np.ones(60), np.array([30, 30]), torch.device(device))
    assert chosen.precision == precision
    told = made.get("train.precision")
    assert (told is not None) == (asked != precision)
    assert "needs a GPU" in (told.reason if told else "needs a GPU")


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_every_optimizer_and_schedule_lowers_the_loss(table, tmp_path: Path, optimizer: str, schedule: str) -> None:
    inputs, output, data = table
    chosen = settings_for(data, epochs=4, optimizer=optimizer, schedule=schedule, learning_rate=0.02)
    trained = loop.train(network_for(inputs, output), data, chosen, tmp_path, Quiet())
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_every_row_is_in_exactly_one_batch_and_batches_keep_their_budget() -> None:
    steps = np.random.default_rng(0).integers(3, 60, 1000)
    batches = epoch_batches(steps, 400, 64, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    assert all(len(batch) * steps[batch].max() <= 400 * 1.25 for batch in batches)
    assert sum(len(b) * steps[b].max() for b in batches) < 1.15 * steps.sum()  # little padding
    again = epoch_batches(steps, 400, 64, seed=1, epoch=0)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))
    other = epoch_batches(steps, 400, 64, seed=1, epoch=1)
    assert not all(np.array_equal(one, two) for one, two in zip(batches, other, strict=False))


def test_the_rate_climbs_to_its_peak_and_falls_to_nothing(table) -> None:
    inputs, output, data = table
    chosen = settings_for(data, warmup=0.1)
    optimizers = make(network_for(inputs, output), chosen)
    shares = [set_rates(optimizers, step, 100, chosen) for step in range(100)]
    assert max(shares) == pytest.approx(1.0)
    assert np.argmax(shares) in (9, 10)
    assert shares[0] == pytest.approx(0.1)
    assert 0 < shares[-1] < 0.02


TEXTS = [f"{word} number {i}" for i, word in enumerate(["good", "bad", "fine", "awful"] * 10)]


def text_network(folder: Path, method: str) -> tuple[Network, TrainingData, Settings]:
    """A tiny BERT of random weights with its data."""
    base = pretrained.find(str(tiny_models.save(folder / "bert", "bert", TEXTS)), "text", folder, folder / "work")
    column = fit("text", "t", "t", TEXTS, base.options)
    labels = ["yes", "no"] * 20
    output = fit("label", "y", "y", labels, {})
    rows = encode_rows([column], {"t": TEXTS})
    data = TrainingData(rows, output.targets(labels), rows, output.targets(labels), output)
    spec = parse({"data": "x", "output": "y", "train": {"method": method, "epochs": 6, "learning_rate": 0.003}})
    chosen = choose(spec, output, base, 40, rows.steps, np.array([20, 20]), torch.device("cpu"))[0]
    torch.manual_seed(0)
    entries = one_each([column], base.config)
    made = Architecture(width=base.width, encoders=entries, fusion="mean", dropout=0.0, head="label")
    network = Network(made, [column], output)
    for encoder in network.pretrained():
        pretrained.load_weights(base, encoder.model)
        if method == "lora":
            encoder.adapt(4, 8, 0.0)
    return network, data, chosen


@pytest.mark.parametrize("method", ["full", "lora", "frozen"])
def test_each_method_changes_just_the_weights_that_it_says(tmp_path: Path, method: str) -> None:
    network, data, chosen = text_network(tmp_path, method)
    before = weights(network)
    trained = loop.train(network, data, chosen, tmp_path / "run", Quiet())
    changed = {key for key, value in weights(network).items() if not torch.equal(value, before[key])}
    encoder = {key for key in changed if key.startswith("encoders")}
    assert any(key.startswith("head") for key in changed)
    assert {"full": bool(encoder), "lora": bool(encoder), "frozen": not encoder}[method]
    assert {"lora_" in key for key in encoder} == {"full": {False}, "lora": {True}, "frozen": set()}[method]
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_frozen_blocks_and_the_word_table_stay_as_they_are_and_the_rest_learns(tmp_path: Path) -> None:
    network, data, chosen = text_network(tmp_path, "full")
    before = weights(network)
    trained = loop.train(network, data, replace(chosen, frozen_blocks=1), tmp_path / "run", Quiet())
    changed = {key for key, value in weights(network).items() if not torch.equal(value, before[key])}
    assert any(".layer.1." in key for key in changed)
    assert not any(".layer.0." in key or "embeddings" in key for key in changed)
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_what_is_frozen_drops_nothing_out_while_the_rest_learns(tmp_path: Path) -> None:
    network, lesson, _ = text_network(tmp_path, "full")
    frozen.freeze_below(network, 1)
    model = network.train().encoders["in_t"].model
    assert [block.training for block in model.encoder.layer] == [False, True]
    assert not model.embeddings.training
    tensors = {key: torch.from_numpy(value) for key, value in lesson.train.batch(np.arange(8)).items()}
    below = [model.embeddings(input_ids=tensors["t_ids"]) for _ in range(2)]
    assert torch.equal(*below)
    above = [network.states(tensors).values for _ in range(2)]
    assert not torch.equal(*above)


def test_a_deep_narrow_base_keeps_blocks_on_a_cpu_and_reads_long_rows_fewer_times(tmp_path: Path) -> None:
    base = pretrained.find("e5-small", "text", tmp_path, tmp_path)
    output = fit("label", "y", "y", ["yes", "no"], {})
    spec = parse({"data": "x", "output": "y"})

    def made(length: int, device: str) -> tuple[int, int]:
        steps = np.full(8000, length)
        found = choose(spec, output, base, 8000, steps, np.array([4000, 4000]), torch.device(device))[0]
        return found.frozen_blocks, found.epochs

    assert [made(17, "cpu"), made(60, "cpu"), made(300, "cpu")] == [(8, 3), (8, 1), (8, 1)]


def test_sparse_gradients_reach_only_the_words_of_the_batch_and_learn_as_well(tmp_path: Path) -> None:
    network, data, chosen = text_network(tmp_path, "full")
    use_sparse_gradients(network)
    assert make(network, chosen).sparse is not None
    before = weights(network)
    loop.train(network, data, chosen, tmp_path / "run", Quiet())
    (name,) = [key for key in before if key.endswith("word_embeddings.weight")]
    moved = (weights(network)[name] != before[name]).any(dim=1).nonzero().flatten().tolist()
    used = set(np.concatenate([data.train.batch(np.arange(40))["t_ids"].flatten()]).tolist())
    assert moved
    assert set(moved) <= used


def test_deeper_layers_learn_more_slowly(tmp_path: Path) -> None:
    network, _, chosen = text_network(tmp_path, "full")
    rates = {}
    optimizers = make(network, chosen)
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    for group in optimizers.dense.param_groups:
        for parameter in group["params"]:
            rates[named[id(parameter)]] = group["lr"]
    last = next(rate for name, rate in rates.items() if ".layer.1." in name)
    first = next(rate for name, rate in rates.items() if ".layer.0." in name)
    words = next(rate for name, rate in rates.items() if "word_embeddings" in name)
    assert (first, words) == (pytest.approx(last * 0.9), pytest.approx(last * 0.81))


def test_a_checkpoint_cut_off_in_the_middle_leaves_the_one_before(tmp_path: Path, monkeypatch) -> None:
    position = checkpoint.Position(step=5)
    checkpoint.write(tmp_path, "last", {"w": torch.ones(2)}, {"a": 1}, position)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.torch, "save", die)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(tmp_path, "last", {"w": torch.zeros(2)}, {"a": 2}, replace(position, step=6))
    tensors, states, read = checkpoint.read(tmp_path, "last")
    assert (tensors["w"].tolist(), states, read.step) == ([1.0, 1.0], {"a": 1}, 5)


def test_a_learning_rate_that_ruins_the_weights_is_named(table, tmp_path: Path) -> None:
    inputs, output, data = table
    chosen = replace(settings_for(data, epochs=1, optimizer="sgd"), learning_rate=1e30, head_rate=1e30, clip_norm=1e30)
    with pytest.raises(TrimtabError, match=r"lower train\.learning_rate"):
        loop.train(network_for(inputs, output), data, chosen, tmp_path, Quiet())
