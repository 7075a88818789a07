"""The one path from rows to predictions."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import ROWS, build, expected

from trimtab import columns, runtime
from trimtab.__main__ import main
from trimtab.bundle import store
from trimtab.columns import InputPolicy, OutputTensor, in_order, length_batches
from trimtab.errors import TrimtabError
from trimtab.runtime import _graphs
from trimtab.search import candidates

HEAVY = {"torch", "transformers", "sklearn", "scipy", "polars", "pandas", "matplotlib", "onnx", "typer", "rich"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="module")
def model(folder: Path) -> runtime.Model:
    return runtime.load(folder, threads=1)


def test_answers_are_those_of_the_network_in_the_order_of_the_rows(model: runtime.Model) -> None:
    rows = [ROWS[place] for place in np.random.default_rng(1).integers(0, len(ROWS), 300)]
    outputs = model.predict(rows).outputs
    assert outputs.shape == (300, 3)
    wanted = np.array([expected(model.inputs, 3, row) for row in rows])
    assert np.abs(outputs - wanted).max() < 1e-5


def test_a_row_has_the_same_answer_alone_and_among_others(model: runtime.Model) -> None:
    together = model.predict(ROWS)
    for place, row in enumerate(ROWS):
        alone = model.predict([row])
        assert np.abs(alone.outputs[0] - together.outputs[place]).max() < 1e-5
        assert alone[0] == together[place]


@pytest.mark.parametrize("steps", [1, 100, 100_000])
def test_the_size_of_a_batch_decides_no_answer(model: runtime.Model, steps: int) -> None:
    sized = model.replace("model", model.graphs["model"].in_batches(steps))
    rows = ROWS * 20
    assert np.abs(np.asarray(sized.predict(rows).outputs) - np.asarray(model.predict(rows).outputs)).max() < 1e-5


def test_rows_of_a_large_call_are_encoded_in_parts(model: runtime.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.predict(ROWS * 20).outputs
    monkeypatch.setattr(_graphs, "_LARGEST", 7)
    monkeypatch.setattr(runtime, "_ENCODED", 1)
    assert np.abs(np.asarray(model.predict(ROWS * 20).outputs) - np.asarray(whole)).max() < 1e-5


def test_a_batch_has_the_fewer_pictures_the_larger_they_are(model: runtime.Model) -> None:
    pictures = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)
    most = {}
    for size, count in ((28, 600), (64, 100), (224, 10), (1024, 3)):
        column = columns.fit("image", "shot", "shot", list(pictures), {"size": size, "channels": 3})
        costs = columns.encode_rows((column,), {"shot": [pictures[0]] * count}).costs
        most[size] = max(map(len, model.graphs["model"].in_batches(1024).batches(costs)))
    assert most == {28: 256, 64: 42, 224: 3, 1024: 1}


def test_no_two_sizes_of_batches_that_cut_rows_alike_are_timed(model: runtime.Model) -> None:
    graph = model.graphs["model"]
    lengths = np.random.default_rng(0).integers(5, 60, 1000)
    assert candidates._sizes(graph, lengths) == [512, 2048, 8192]
    assert candidates._sizes(graph, np.ones(40, np.int64)) == [512]
    assert candidates._sizes(graph, np.full(1000, 224 * 224 * 3 // 512)) == [512, 2048, 8192]


def test_a_model_goes_to_another_process_as_its_folder(model: runtime.Model) -> None:
    held = runtime.load(model.folder, threads=1, policy=InputPolicy(files=False))
    again = pickle.loads(pickle.dumps(held))
    assert again.policy == held.policy
    assert again.threads == 1
    assert again.predict(ROWS).rows() == model.predict(ROWS).rows()
    assert copy.deepcopy({"model": held})["model"] is held


def test_answers_for_each_place_are_those_of_the_picked_rows() -> None:
    """Rows 2 and 0 of three, whose places are 3, 1 and 2: what a cascade of tags would ask its second network."""

    places = np.array([3, 1, 2])[np.array([2, 0])]
    parts = [{"outputs": np.array([[[20.0], [21], [-1]], [[0], [1], [2]]], np.float32)}]
    found = in_order([np.array([0, 1])], parts, [OutputTensor("outputs", 1, "position")], places)
    assert [row.ravel().tolist() for row in found] == [[20, 21], [0, 1, 2]]


def test_batches_hold_as_little_padding_as_is_asked_for() -> None:
    steps = np.random.default_rng(0).integers(1, 60, 200)
    for most in (0, 16, 128):
        batches = length_batches(steps, 512, most_padding=most)
        assert sorted(np.concatenate(batches).tolist()) == list(range(200))
        assert max(int((steps[rows].max() - steps[rows]).sum()) for rows in batches) <= most
        assert max(len(rows) * int(steps[rows].max()) for rows in batches) <= 512
    assert len(length_batches(steps, 512)) < len(length_batches(steps, 512, most_padding=16))


def test_a_model_in_memory_answers_as_its_bundle_does(folder: Path, model: runtime.Model) -> None:
    session = runtime.open_session((folder / "model.onnx").read_bytes(), 1)
    graph = runtime.Graph(session, model.serving.graphs["model"])
    inputs, output = store.load_columns(folder / "columns", model.serving)
    held = runtime.put_together(model.serving, inputs, output, {"model": graph})
    assert held.predict(ROWS).rows() == model.predict(ROWS).rows()
    encoded = columns.encode_rows(inputs, {column.name: [row[column.name] for row in ROWS] for column in inputs})
    assert np.array_equal(held.outputs(encoded), model.predict(ROWS).outputs)
    sized = held.replace("model", graph.in_batches(7, 2))
    assert (sized.serving.graphs["model"].batch_cost, sized.serving.graphs["model"].batch_rows) == (7, 2)
    assert max(map(len, sized.graphs["model"].batches(encoded.costs))) <= 2
    for use in (pickle.dumps, lambda one: one.manifest):
        with pytest.raises(TrimtabError, match="in memory alone"):
            use(held)
    with pytest.raises(TrimtabError, match="network: ONNX Runtime"):
        runtime.open_session(b"no network", 1)


def test_batches_that_are_computed_at_once_answer_as_those_one_after_the_other(folder: Path) -> None:
    alone, several = (runtime.load(folder, threads=threads) for threads in (1, 3))
    rows = [ROWS[position] for position in np.random.default_rng(1).integers(0, len(ROWS), 600)]
    values = {column.name: [row[column.name] for row in rows] for column in alone.inputs}
    encoded = columns.encode_rows(alone.inputs, values)
    expected = alone.outputs(encoded)
    graph, large = (one.graphs["model"].in_batches(100_000) for one in (alone, several))
    assert len(large.batches(encoded.costs)) >= 3 > len(graph.batches(encoded.costs))  # one for each thread
    assert len(large.batches(encoded.costs[:8])) == 1  # too little to be shared
    np.testing.assert_allclose(several.outputs(encoded), expected, atol=1e-6)
    with ThreadPoolExecutor(4) as pool:  # the network is opened beside once, whoever asks first
        found = list(pool.map(lambda _: runtime.load(folder, threads=3).outputs(encoded), range(4)))
    assert all(np.array_equal(one, found[0]) for one in found)


def test_a_copy_for_serving_has_no_manifest_and_says_so(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("manifest.json", "card.md")))
    served = runtime.load(copy)
    assert served.serving == runtime.load(folder).serving
    with pytest.raises(TrimtabError, match="is a copy for serving"):
        _ = served.manifest
    assert main(["verify", str(copy)]) == 0
    (copy / "model.onnx").write_bytes(b"another")
    assert main(["verify", str(copy)]) == 2


def test_a_csv_cell_and_a_json_value_get_the_same_answer(model: runtime.Model) -> None:
    written = {"review": "warm", "stars": "4,5", "shop": "north"}
    assert np.array_equal(model.predict([written]).outputs, model.predict([written | {"stars": 4.5}]).outputs)


def test_predictions_can_be_read_as_columns_and_as_rows(model: runtime.Model) -> None:
    predictions = model.predict(ROWS)
    assert len(predictions) == len(list(predictions)) == len(ROWS)
    assert list(predictions.answers) == ["mood", "confidence"]
    assert predictions.rows()[2] == predictions[2]
    assert predictions[2]["mood"] == predictions.answers["mood"][2]
    assert all(answer["mood"] in {"good", "bad", "so"} for answer in predictions)


def test_no_rows_are_no_mistake(model: runtime.Model) -> None:
    assert model.predict([]).rows() == []
    assert model.outputs({"review": [], "stars": [], "shop": []}).shape == (0, 3)


def test_what_a_row_lacks_counts_as_missing(model: runtime.Model) -> None:
    lacking = model.predict([{"review": "warm"}, {"stars": "3", "review": "cold"}]).outputs
    spelled = model.predict([{"review": "warm", "stars": None, "shop": ""}, {"review": "cold", "stars": 3}]).outputs
    assert np.array_equal(lacking, spelled)


def test_rows_without_the_text_are_refused_with_the_nearest_name(model: runtime.Model) -> None:
    with pytest.raises(TrimtabError, match=r"no column named 'review'(?s:.*)did you mean 'reviews'"):
        model.predict([{"reviews": "warm", "stars": 1}])
    with pytest.raises(TrimtabError, match=r"row 0: found 'warm'(?s:.*)mapping"):
        model.predict(["warm"])  # type: ignore[list-item]


# ------------------------------------------------------------------------------------------------------- loading


def spoiled(folder: Path, tmp_path: Path, name: str, content: bytes) -> Path:
    """A copy of the bundle with one file changed behind the manifest's back."""
    copy = Path(shutil.copytree(folder, tmp_path / "spoiled"))
    (copy / name).write_bytes(content)
    return copy


@pytest.mark.parametrize("name", ["model.onnx", "columns/stars.json", "columns/review.tokenizer.json", "golden.jsonl"])
def test_a_changed_serving_file_is_never_loaded(folder: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    with pytest.raises(TrimtabError, match=f"the bundle is damaged: changed: {name}"):
        runtime.load(spoiled(folder, tmp_path, name, bytes(content)))


def test_a_serving_copy_without_the_card_answers(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "serving"
    for name in store.serving_files(store.read_serving(folder)):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, copy / name)
    assert runtime.load(copy).predict(ROWS).rows() == runtime.load(folder).predict(ROWS).rows()


def rewritten(folder: Path, tmp_path: Path, name: str, content: bytes) -> Path:
    """A copy with one file changed and the manifest made to fit, as if the bundle had been made so."""
    copy = spoiled(folder, tmp_path, name, content)
    store.write_manifest(copy, store.read_manifest(copy))
    return copy


def test_a_machine_that_computes_other_answers_is_noticed(folder: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    lines[1]["outputs"][0] += 3e-4
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with pytest.raises(TrimtabError, match=r"golden row 2 is answered differently here, by 0\.0003"):
        runtime.load(rewritten(folder, tmp_path, "golden.jsonl", text.encode()))


def test_a_model_that_cannot_be_run_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match=r"model.onnx: ONNX Runtime .* cannot load it"):
        runtime.load(rewritten(folder, tmp_path, "model.onnx", b"not a graph"))


def test_all_golden_rows_are_replayed_exactly_where_they_were_made(model: runtime.Model, folder: Path) -> None:
    replayed = runtime.replay(model, runtime.read_golden(folder))
    assert replayed == runtime.Replayed(len(ROWS), 0.0)


def test_golden_rows_keep_values_that_json_cannot_hold(model: runtime.Model) -> None:
    rows = [
        {"review": 3.0, "stars": float("nan"), "shop": np.int64(4), "extra": 1},
        {"review": ["a"], "stars": np.float32(2)},
    ]
    lines = json.loads(json.dumps(runtime.record_golden(model, rows), allow_nan=False))
    assert lines[0]["row"] == {"review": 3.0, "stars": None, "shop": 4}
    assert runtime.replay(model, lines).rows == 2
    together = model.predict(rows).outputs
    assert np.abs(together - np.array([line["outputs"] for line in lines])).max() < 1e-5


def test_answering_loads_no_training_package(folder: Path) -> None:
    program = (
        "import sys\n"
        "from trimtab import runtime\n"
        f"print(runtime.load({str(folder)!r}).predict([{ROWS[0]!r}]).rows()[0]['mood'])\n"
        f"heavy = {HEAVY!r}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    source = str(Path(runtime.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": source})
    assert done.stderr == ""
    assert done.stdout.strip() in {"good", "bad", "so"}
