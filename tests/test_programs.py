"""How the networks of a bundle are run is one file's business; bundles of the older format name it otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cascade import other_bundle
from tiny_bundle import ROWS, build

from trimtab import programs, runtime
from trimtab.__main__ import main
from trimtab.bundle import store
from trimtab.bundle.serving import ProgramEntry
from trimtab.compress import Skip, cascade
from trimtab.errors import TrimtabError
from trimtab.registry import OWN_PARTS

SOURCE = Path(programs.__file__).resolve().parents[1]
# The program; what makes such bundles; and the recipe by which a user asks for one, with what it is called.
KNOWN_TO = {
    "programs/cascade.py",
    "compress/cascade.py",
    "compress/build.py",
    "search/candidates.py",
    "search/cascades.py",
    "search/compression.py",
    "search/trials.py",
    "spec/model.py",
}


def test_what_a_cascade_is_stands_in_its_program_and_in_what_makes_one() -> None:
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "cascade" in path.read_text(encoding="utf-8").lower()
    }
    assert found == KNOWN_TO


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade whose small network answers some of the rows."""
    folder = tmp_path_factory.mktemp("programs")
    large = build(folder)
    small = other_bundle(large, folder / "small")
    made = cascade.cascade(small, large, folder / "both", 0.9)
    assert not isinstance(made, Skip)
    return folder / "both"


# ------------------------------------------------------------------------------------------------------- programs


def test_a_program_that_is_not_known_is_named_with_the_nearest(both: Path) -> None:
    serving = store.read_serving(both)
    with pytest.raises(TrimtabError, match=r"no programs named 'cascad'(?s:.*)did you mean 'cascade'"):
        runtime.opened(both, serving.model_copy(update={"program": ProgramEntry(name="cascad")}))
    without = {"model": serving.graphs["model"]}
    with pytest.raises(TrimtabError, match="the program 'cascade' needs the graph 'first'"):
        runtime.opened(both, serving.model_copy(update={"graphs": without}))
    with pytest.raises(TrimtabError, match="the option 'threshold' is needed"):
        runtime.opened(both, serving.model_copy(update={"program": ProgramEntry(name="cascade")}))


MEAN = '''
"""The mean of two networks' outputs."""

import numpy as np

from trimtab.programs import Program, Ran


class MeanProgram(Program):
    graphs = ("first", "model")

    def run(self, graphs, rows):
        every = np.arange(len(rows))
        return Ran((graphs["first"].outputs(rows, every) + graphs["model"].outputs(rows, every)) / 2)
'''


def test_a_program_of_ones_own_is_one_file(both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts" / "programs").mkdir(parents=True)
    (tmp_path / "parts" / "programs" / "mean.py").write_text(MEAN)
    monkeypatch.setenv(OWN_PARTS, str(tmp_path / "parts"))
    bundle = Path(shutil.copytree(both, tmp_path / "bundle"))
    manifest = store.read_manifest(bundle)
    serving = manifest.serving.model_copy(update={"program": ProgramEntry(name="mean")})
    model = runtime.opened(bundle, serving)
    runtime.write_golden(bundle, runtime.record_golden(model, ROWS))
    store.write_manifest(bundle, manifest.model_copy(update={"serving": serving}))
    served = runtime.load(bundle)
    rows = {column.name: [row.get(column.name) for row in ROWS] for column in served.inputs}
    parts = [np.asarray(runtime.opened(bundle, _alone(serving, name)).outputs(rows)) for name in ("first", "model")]
    assert np.abs(np.asarray(served.outputs(rows)) - (parts[0] + parts[1]) / 2).max() < 1e-5
    assert main(["verify", str(bundle)]) == 0
    assert store.read_manifest(bundle).hash != manifest.hash


def _alone(serving: Any, name: str) -> Any:
    return serving.model_copy(update={"graphs": {"model": serving.graphs[name]}, "program": ProgramEntry()})


# ------------------------------------------------------------------------------------------------------- format 1


def digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def as_format_1(bundle: Path, target: Path) -> Path:
    """The same bundle as Trimtab wrote it before `serving.json`: all of it in the manifest."""
    shutil.copytree(bundle, target, ignore=shutil.ignore_patterns("serving.json", "manifest.json"))
    manifest = store.read_manifest(bundle)
    serving = manifest.serving
    large, small = serving.graphs["model"], serving.graphs["first"]
    values = json.loads(manifest.model_dump_json(exclude={"serving", "checksum"}))
    files = {name: found for name, found in manifest.files.items() if name != "serving.json"}
    said = {
        "tensors": small.inputs,
        **serving.program.options,
        "precision": small.precision,
        "batch_tokens": small.batch_cost,
        "batch_rows": None,
    }
    serving_keys = json.loads(serving.model_dump_json(include={"inputs", "output", "tolerance"}))
    own = {"tensors": large.inputs, "precision": large.precision, "batch_tokens": large.batch_cost, "batch_rows": 7}
    deciding = {name: found for name, found in files.items() if not name.startswith("card")}
    spec = {key: value for key, value in values["spec"].items() if key not in ("data", "test", "base", "name")}
    old_hash = digest({"files": deciding, "spec": spec, "cascade": said})
    values |= {"format_version": 1, "files": files, **serving_keys, **own, "cascade": said, "hash": old_hash}
    (target / "manifest.json").write_text(json.dumps({**values, "checksum": digest(values)}))
    return target


def test_two_networks_of_format_1_answer_as_they_did(both: Path, tmp_path: Path) -> None:
    old = as_format_1(both, tmp_path / "old")
    now, then = runtime.load(both), runtime.load(old)
    assert then.predict(ROWS).rows() == now.predict(ROWS).rows()
    early = then.predict(ROWS).early
    assert early is not None
    assert 0 < early.sum() < len(ROWS)
    assert (then.serving.format_version, then.serving.program) == (1, now.serving.program)
    assert [entry.batch_rows for entry in then.serving.graphs.values()] == [7, None]
    assert main(["verify", str(old)]) == 0
    assert store.serving_bytes(old) == sum((old / name).stat().st_size for name in store.serving_files(then.serving))


def test_format_1_is_checked_as_it_was(both: Path, tmp_path: Path) -> None:
    old = as_format_1(both, tmp_path / "old")
    path = old / "manifest.json"
    values = json.loads(path.read_text())
    del values["checksum"]
    values["cascade"]["threshold"] = 0.1  # with a checksum that fits, but not the hash
    path.write_text(json.dumps({**values, "checksum": digest(values)}))
    with pytest.raises(TrimtabError, match=r"changed: manifest\.json"):
        store.read_manifest(old)
