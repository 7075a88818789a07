"""Two networks in one bundle: which one answers which row, and that nothing else changes."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from tiny_bundle import ROWS, build

from trimtab import runtime
from trimtab.__main__ import main
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.columns.label import LabelColumn
from trimtab.compress import Skip, cascade
from trimtab.errors import TrimtabError
from trimtab.programs.cascade import confidence
from trimtab.report import card

MANY = [ROWS[place] for place in np.random.default_rng(1).integers(0, len(ROWS), 200)]


def other_bundle(folder: Path, target: Path, temperature: float = 1.0) -> Path:
    """The same columns, but another head, weights in a file of their own, and another temperature."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("golden.jsonl", "manifest.json", "serving.json"))
    graph = onnx.load(target / "model.onnx")
    head = next(tensor for tensor in graph.graph.initializer if tensor.name == "head")
    weights = np.random.default_rng(9).normal(size=head.dims).astype(np.float32)
    head.CopyFrom(numpy_helper.from_array(weights, "head"))
    onnx.save(graph, target / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=1024)
    manifest = store.read_manifest(folder)
    output = store.load_columns(folder / "columns", manifest)[1]
    replace(output, temperature=temperature).save(target / "columns")
    store.write_manifest(target, manifest)
    return target


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def small(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return other_bundle(large, tmp_path_factory.mktemp("small") / "bundle", temperature=2.0)


@pytest.fixture(scope="module")
def at(small: Path) -> float:
    """A threshold between the surest and the least sure rows."""
    return float(np.median(confidence(np.asarray(runtime.load(small).predict(ROWS).outputs))))


@pytest.fixture(scope="module")
def both(small: Path, large: Path, at: float, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both") / "bundle"
    assert not isinstance(cascade.cascade(small, large, folder, at), Skip)
    return folder


# ----------------------------------------------------------------------------------------------------- answering


def test_the_small_network_answers_what_it_is_sure_of_and_the_larger_one_the_rest(
    small: Path, large: Path, both: Path, at: float
) -> None:
    one, other, found = (runtime.load(folder).predict(MANY) for folder in (small, large, both))
    sure = confidence(np.asarray(one.outputs)) >= at
    assert 0 < sure.mean() < 1
    assert found.early is not None
    assert np.array_equal(found.early, sure)
    assert np.allclose(found.outputs, np.where(sure[:, None], one.outputs / 2, other.outputs), atol=1e-5)


def test_an_early_answer_is_as_confident_as_the_small_network_alone(small: Path, both: Path) -> None:
    alone, found = runtime.load(small).predict(ROWS), runtime.load(both).predict(ROWS)
    assert found.early is not None
    assert found.early.any()
    for row in np.flatnonzero(found.early):
        assert found[row] == alone[row]


def test_a_row_is_answered_by_the_same_network_alone_and_among_others(both: Path) -> None:
    model = runtime.load(both)
    together = model.predict(ROWS)
    for place, row in enumerate(ROWS):
        assert np.abs(model.predict([row]).outputs[0] - together.outputs[place]).max() < 1e-5


def test_several_threads_share_a_cascade(both: Path) -> None:
    model = runtime.load(both, threads=1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model.outputs, [{name: [row[name] for row in MANY] for name in MANY[0]}] * 8))
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_no_rows_are_no_mistake_and_a_single_network_tells_no_share(large: Path, both: Path) -> None:
    assert runtime.load(both).predict([]).rows() == []
    assert runtime.load(large).predict(ROWS).early is None


# -------------------------------------------------------------------------------------------------------- bundle


def test_a_cascade_is_a_whole_bundle(both: Path) -> None:
    manifest = store.read_manifest(both)
    store.check_files(both, manifest)
    serving = store.serving_files(manifest.serving)
    assert {"model.onnx", "first.onnx", "first.onnx.data", "golden.jsonl"} <= set(serving)
    assert store.serving_bytes(both) == sum((both / name).stat().st_size for name in serving)
    replayed = runtime.replay(runtime.load(both), runtime.read_golden(both))
    assert replayed.difference == 0.0
    assert replayed.rows >= len(ROWS) - 2


def test_a_serving_copy_of_a_cascade_answers(both: Path, tmp_path: Path) -> None:
    for name in store.serving_files(store.read_serving(both)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(both / name, tmp_path / name)
    assert runtime.load(tmp_path).predict(ROWS).rows() == runtime.load(both).predict(ROWS).rows()


@pytest.mark.parametrize("name", ["first.onnx", "first.onnx.data"])
def test_a_changed_small_network_is_never_loaded(both: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(both, tmp_path / "copy"))
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(TrimtabError, match=f"changed: {name}"):
        runtime.load(copy)


def test_the_threshold_is_part_of_what_the_hash_is_over(small: Path, large: Path, both: Path, at: float) -> None:
    manifest = store.read_manifest(both)
    again = cascade.cascade(small, large, both.with_name("again"), at)
    moved = cascade.cascade(small, large, both.with_name("moved"), at + 1e-9)
    assert not isinstance(again, Skip)
    assert not isinstance(moved, Skip)
    assert again.hash == manifest.hash
    assert moved.hash != manifest.hash


def test_a_golden_row_never_lies_at_the_threshold(small: Path, large: Path, tmp_path: Path) -> None:
    sure = confidence(np.asarray(runtime.load(small).predict(ROWS).outputs))
    assert not isinstance(cascade.cascade(small, large, tmp_path / "both", float(sure[2])), Skip)
    kept = [line["row"]["review"] for line in runtime.read_golden(tmp_path / "both")]
    assert ROWS[2]["review"] not in kept
    assert len(kept) == len(ROWS) - 1


def test_what_was_measured_on_one_network_is_not_told_of_two(small: Path, large: Path, tmp_path: Path) -> None:
    manifest = store.read_manifest(large)
    released = {"released": True, "measured": {"accuracy": Measured(value=0.9)}}
    copy = Path(shutil.copytree(large, tmp_path / "released"))
    store.write_manifest(copy, manifest.model_copy(update=released))
    found = cascade.cascade(small, copy, tmp_path / "both", 0.9)
    assert not isinstance(found, Skip)
    assert (found.released, found.measured) == (False, {})
    assert not (tmp_path / "both" / "card.md").exists()


def test_the_card_and_inspect_say_how_the_networks_work_together(
    both: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = store.read_manifest(both)
    card.write(both, manifest, [])
    assert "a small network answers the rows of which it is at least" in (both / "card.md").read_text()
    assert main(["inspect", str(both)]) == 0
    told = capsys.readouterr().out
    assert "program: cascade" in told
    assert "first.onnx" in told


# -------------------------------------------------------------------------------------------------------- skipped


def reason(small: Path, large: Path, target: Path) -> str:
    found = cascade.cascade(small, large, target, 0.9)
    assert isinstance(found, Skip)
    assert not target.exists()
    return found.reason


def test_networks_that_do_not_belong_together_are_skipped_with_the_reason(
    small: Path, large: Path, both: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(small, tmp_path / "copy"))
    column = copy / "columns" / "stars.json"
    column.write_text(column.read_text() + "\n")
    store.write_manifest(copy, store.read_manifest(copy))
    assert "different columns: columns/stars.json" in reason(copy, large, tmp_path / "both")

    classes = Path(shutil.copytree(small, tmp_path / "classes"))
    LabelColumn("mood", "mood", ("bad", "good", "well")).save(classes / "columns")
    store.write_manifest(classes, store.read_manifest(classes))
    assert "different classes" in reason(classes, large, tmp_path / "both")
    assert "a cascade already" in reason(small, both, tmp_path / "both")

    manifest = store.read_manifest(large)
    number = Path(shutil.copytree(large, tmp_path / "number"))
    output = manifest.output.model_copy(update={"type": "number"})
    serving = manifest.serving.model_copy(update={"output": output})
    store.write_manifest(number, manifest.model_copy(update={"serving": serving}))
    assert "no label but number" in reason(small, number, tmp_path / "both")


# ------------------------------------------------------------------------------------------------------ threshold

Digits = tuple[LabelColumn, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Answers of a model that sees the upper rows of the pictures and of one that sees them whole; 1,197 rows."""
    pictures, targets = load_digits(return_X_y=True)
    pictures = pictures / 16
    outputs = [
        LogisticRegression(max_iter=300)
        .fit(pictures[:600, :seen], targets[:600])
        .decision_function(pictures[600:, :seen])
        .astype(np.float32)
        for seen in (40, 64)
    ]
    return LabelColumn("digit", "digit", tuple("0123456789")), outputs[0], outputs[1], targets[600:].astype(np.int64)


def right(outputs: np.ndarray, targets: np.ndarray) -> float:
    return float((outputs.argmax(axis=1) == targets).mean())


def mixed(small: np.ndarray, large: np.ndarray, at: float) -> np.ndarray:
    return np.where((confidence(small) >= at)[:, None], small, large)


def test_at_the_threshold_and_above_the_cascade_is_as_right_as_the_larger_network(digits: Digits) -> None:
    output, small, large, targets = digits
    assert right(small, targets) < right(large, targets) - 0.03
    found = cascade.threshold(small, large, targets, output)
    assert 0.05 < found.early < 1
    assert found.early == (confidence(small) >= found.value).mean()
    for value in np.linspace(found.value, 1, 20):
        assert right(mixed(small, large, value), targets) >= right(large, targets)


def test_a_threshold_holds_on_rows_that_it_was_not_chosen_on(digits: Digits) -> None:
    output, small, large, targets = digits
    drops = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(targets))
        seen, unseen = order[:600], order[600:]
        at = cascade.threshold(small[seen], large[seen], targets[seen], output, 0.01).value
        kept = right(mixed(small[unseen], large[unseen], at), targets[unseen])
        drops.append(right(large[unseen], targets[unseen]) - kept)
    assert np.mean(drops) <= 0.01


def test_each_half_of_the_rows_is_answered_by_the_threshold_of_the_other(digits: Digits) -> None:
    output, small, large, targets = digits
    found = cascade.held_out(small, large, targets, output, 0.02, 2.0)
    sure, even = confidence(small), np.arange(len(small)) % 2 == 0
    for own in (even, ~even):
        at = cascade.threshold(small[~own], large[~own], targets[~own], output, 0.02, 2.0).value
        early = own & (sure >= at)
        assert np.array_equal(found[early], 2.0 * small[early])
        assert np.array_equal(found[own & ~early], large[own & ~early])
        assert 0 < early.sum() < own.sum()


def test_what_may_be_lost_buys_early_answers(digits: Digits) -> None:
    output, small, large, targets = digits
    shares = [cascade.threshold(small, large, targets, output, drop).early for drop in (0.0, 0.02, 0.05, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] < shares[2] < shares[3] == 1.0


def test_a_network_that_is_surely_wrong_answers_nothing(digits: Digits) -> None:
    output, _, large, targets = digits
    wrong = np.eye(10, dtype=np.float32)[(targets + 1) % 10] * 20
    assert cascade.threshold(wrong, large, targets, output) == cascade.Threshold(cascade.NEVER, 0.0)
