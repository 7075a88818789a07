"""A bundle is written whole or not at all, and says what is wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import build, stage

from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.bundle.serving import ProgramEntry
from trimtab.errors import TrimtabError


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("original"))


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def test_a_saved_bundle_lists_every_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    bundle = build(tmp_path)
    manifest = store.read_manifest(bundle)
    assert set(manifest.files) == {
        "card.md",
        "columns/mood.json",
        "columns/review.json",
        "columns/review.tokenizer.json",
        "columns/shop.json",
        "columns/stars.json",
        "golden.jsonl",
        "model.onnx",
        "serving.json",
    }
    store.check_files(bundle, manifest)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "tokenizer.json"]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o077, 0o600, 0o700)]
)
def test_files_and_folders_have_the_modes_of_the_umask_whatever_wrote_them(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    before = os.umask(umask)
    try:
        manifest = stage(tmp_path)
        for name in ("model.onnx.data", "weights.safetensors"):  # libraries make these for their owner alone
            os.close(os.open(tmp_path / "staging" / name, os.O_CREAT, 0o600))
        store.save(tmp_path / "staging", manifest, tmp_path / "bundle")
    finally:
        os.umask(before)
    found = [tmp_path / "bundle", *(tmp_path / "bundle").rglob("*")]
    assert len(found) > 11
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {file}
    assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {folder}


def test_columns_come_back_as_they_were_saved(bundle: Path, tmp_path: Path) -> None:
    manifest = store.read_manifest(bundle)
    inputs, output = store.load_columns(bundle / "columns", manifest)
    store.save_columns(tmp_path / "again", inputs, output)
    assert store.load_columns(tmp_path / "again", manifest) == (inputs, output)
    assert [column.name for column in inputs] == ["review", "stars", "shop"]


# ---------------------------------------------------------------------------------------------------------- hash


def test_two_bundles_made_alike_have_the_same_hash(original: Path, tmp_path: Path) -> None:
    assert store.read_manifest(build(tmp_path)).hash == store.read_manifest(original).hash


def test_the_hash_does_not_know_places_timings_and_cards(original: Path, tmp_path: Path) -> None:
    manifest = stage(tmp_path)
    (tmp_path / "staging" / "card.md").write_text("# another card\n")
    spec = {**manifest.spec, "data": ["/elsewhere/rows.csv"], "name": "other"}
    later = manifest.model_copy(
        update={"spec": spec, "created": "2030-01-01", "measured": {"latency": Measured(value=3.0, unit="ms")}}
    )
    saved = store.save(tmp_path / "staging", later, tmp_path / "bundle")
    assert saved.hash == store.read_manifest(original).hash


@pytest.mark.parametrize(
    "name", ["model.onnx", "columns/stars.json", "golden.jsonl", "reference.npz", "weights.safetensors"]
)
def test_the_hash_changes_with_what_decides_the_answers(original: Path, name: str) -> None:
    manifest = store.read_manifest(original)
    assert store.content_hash({**manifest.files, name: "0" * 64}, manifest.spec, manifest.serving) != manifest.hash


def test_the_hash_changes_with_the_choices_of_the_spec(original: Path) -> None:
    manifest = store.read_manifest(original)
    assert store.content_hash(manifest.files, {**manifest.spec, "seed": 8}, manifest.serving) != manifest.hash


def test_the_hash_changes_with_how_the_networks_are_run_but_not_with_the_size_of_batches(original: Path) -> None:
    manifest = store.read_manifest(original)
    graph = manifest.serving.graphs["model"]
    changes = {
        "program": {"program": ProgramEntry(name="cascade")},
        "precision": {"graphs": {"model": graph.model_copy(update={"precision": "int8"})}},
        "batch": {"graphs": {"model": graph.model_copy(update={"batch_cost": 1, "batch_rows": 2})}},
    }
    made = {
        name: store.content_hash(manifest.files, manifest.spec, manifest.serving.model_copy(update=change))
        for name, change in changes.items()
    }
    assert {name for name, found in made.items() if found == manifest.hash} == {"batch"}


# -------------------------------------------------------------------------------------------------------- damage


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_every_changed_missing_and_added_file_is_named(bundle: Path) -> None:
    flip(bundle / "model.onnx")
    (bundle / "columns" / "stars.json").unlink()
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(TrimtabError) as caught:
        store.check_files(bundle, store.read_manifest(bundle))
    for said in ("changed: model.onnx", "missing: columns/stars.json", "not listed: notes.txt"):
        assert said in str(caught.value)


def test_one_changed_byte_in_any_file_is_noticed(original: Path, tmp_path: Path) -> None:
    for name in [*store.read_manifest(original).files, "manifest.json"]:
        spoiled = Path(shutil.copytree(original, tmp_path / name.replace("/", "_")))
        flip(spoiled / name)
        with pytest.raises(TrimtabError):
            store.check_files(spoiled, store.read_manifest(spoiled))


def edit(bundle: Path, name: str = "manifest.json", **changes: object) -> None:
    """Change a file of JSON by hand."""
    values = json.loads((bundle / name).read_text())
    (bundle / name).write_text(json.dumps({**values, **changes}))


def spoil_json(bundle: Path) -> None:
    (bundle / "manifest.json").write_text('{"format_version": 1,')


def newer(bundle: Path) -> None:
    edit(bundle, "serving.json", format_version=99, trimtab="9.0.0")


def retouched(bundle: Path) -> None:
    edit(bundle, released=True)


def more_tolerant(bundle: Path) -> None:
    edit(bundle, "serving.json", tolerance=9.0)


def of_another_bundle(bundle: Path) -> None:
    """With the checksum that it should have."""
    values = {**json.loads((bundle / "serving.json").read_text()), "program": {"name": "other", "options": {}}}
    edit(bundle, "serving.json", program=values["program"], checksum=store._checksum(values))


def without_serving(bundle: Path) -> None:
    (bundle / "serving.json").unlink()


def a_list(bundle: Path) -> None:
    (bundle / "manifest.json").write_text("[]")


def a_copy_for_serving(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


def another_folder(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    (bundle / "serving.json").unlink()


def gone(bundle: Path) -> None:
    shutil.rmtree(bundle)


def a_file(bundle: Path) -> None:
    shutil.rmtree(bundle)
    bundle.write_text("not a folder")


def run_folder(bundle: Path) -> None:
    inside = bundle / "bundle"
    inside.mkdir()
    for name in ("manifest.json", "serving.json"):
        (bundle / name).rename(inside / name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_json, "is not JSON"),
        (newer, r"bundle format 99, made by a newer Trimtab \(9.0.0\)(?s:.*)upgrade"),
        (retouched, "the bundle is damaged: changed: manifest.json"),
        (a_list, "holds a list"),
        (more_tolerant, "the bundle is damaged: changed: serving.json"),
        (of_another_bundle, "the bundle is damaged: changed: serving.json"),
        (without_serving, "the bundle is damaged: missing: serving.json"),
        (a_copy_for_serving, "is a copy for serving, without manifest.json"),
        (another_folder, "is not a bundle: no serving.json in it .it holds: card.md, columns"),
        (gone, "no such folder"),
        (a_file, "is a file"),
        (run_folder, r"is not a bundle(?s:.*)do: use .*bundle/bundle"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(bundle: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(bundle)
    with pytest.raises(TrimtabError, match=said):
        store.read_manifest(bundle)


def test_a_number_that_cannot_be_read_again_is_never_written(tmp_path: Path) -> None:
    manifest = stage(tmp_path).model_copy(update={"measured": {"auc": Measured(value=float("nan"))}})
    with pytest.raises(ValueError, match=r"measured\.auc"):
        store.save(tmp_path / "staging", manifest, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


# ------------------------------------------------------------------------------------------------------- writing


def test_a_new_bundle_replaces_the_old_one(tmp_path: Path) -> None:
    build(tmp_path)
    manifest = stage(tmp_path).model_copy(update={"name": "second"})
    store.save(tmp_path / "staging", manifest, tmp_path / "bundle")
    assert store.read_manifest(tmp_path / "bundle").name == "second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "tokenizer.json"]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.txt").write_text("years of work")
    manifest = stage(tmp_path)
    with pytest.raises(TrimtabError, match="exists and is not a bundle"):
        store.save(tmp_path / "staging", manifest, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "thesis.txt").exists()


def test_a_save_killed_between_its_two_moves_is_ended_by_the_next(original: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(original, tmp_path / ".bundle.old")
    with pytest.raises(TrimtabError, match=r"the old bundle is safe(?s:.*)mv .*\.bundle\.old .*bundle"):
        store.read_manifest(bundle)
    store.recover(bundle)
    store.check_files(bundle, store.read_manifest(bundle))
    shutil.copytree(original, tmp_path / ".bundle.old")
    store.recover(bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


_SAVE_AGAIN_AND_AGAIN = """
import shutil, sys
from pathlib import Path
from trimtab.bundle import store
folder = Path(sys.argv[1])
manifest = store.read_manifest(folder / "source")
print("ready", flush=True)
while True:
    shutil.rmtree(folder / "staging", ignore_errors=True)
    shutil.copytree(folder / "source", folder / "staging")
    store.save(folder / "staging", manifest, folder / "bundle")
"""


def test_a_bundle_is_whole_whenever_its_writer_is_killed(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "source")
    shutil.copytree(original, tmp_path / "bundle")
    rng = np.random.default_rng(5)
    for _ in range(6):
        command = [sys.executable, "-c", _SAVE_AGAIN_AND_AGAIN, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.1))
            writer.send_signal(signal.SIGKILL)
        store.recover(tmp_path / "bundle")
        store.check_files(tmp_path / "bundle", store.read_manifest(tmp_path / "bundle"))


# ------------------------------------------------------------------------------------------------------- serving


def test_serving_needs_the_model_its_columns_and_its_golden_rows_only(bundle: Path) -> None:
    manifest = store.read_manifest(bundle)
    (bundle / "weights.safetensors").write_bytes(b"0" * 999)
    serving = store.serving_files(manifest.serving)
    assert serving[0] == "serving.json"
    assert set(manifest.files) - set(serving) == {"card.md"}
    assert store.serving_bytes(bundle) == sum((bundle / name).stat().st_size for name in serving)
