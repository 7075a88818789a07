"""Entries of a gallery as answers: towers that are drawn together, galleries that are served and made anew."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import serving
import torch
from PIL import Image
from places import place

import trimtab
from trimtab import columns, runtime
from trimtab.__main__ import main
from trimtab.bundle import store
from trimtab.columns import Named
from trimtab.columns.nearest import NearestColumn
from trimtab.data.prepare import prepare
from trimtab.errors import TrimtabError
from trimtab.metrics import Retrieved, statistics
from trimtab.nets.batch import Batch
from trimtab.nets.heads.nearest import NearestHead
from trimtab.nets.states import Padded
from trimtab.progress import Quiet
from trimtab.request import check
from trimtab.runtime import gallery
from trimtab.spec import parse
from trimtab.train import dropping

COLOURS = {"red": "rot", "blue": "blau", "green": "grün", "black": "schwarz", "white": "weiß", "old": "alt"}
THINGS = {"dog": "Hund", "cat": "Katze", "bird": "Vogel", "horse": "Pferd", "tree": "Baum", "house": "Haus"}
DOES = {"runs": "rennt", "sleeps": "schläft", "sits": "sitzt", "falls": "fällt", "stands": "steht", "waits": "wartet"}
PAIRS = [
    {"english": " ".join(row), "german": f"{COLOURS[row[0]]} {THINGS[row[1]]} {DOES[row[2]]}"}
    for row in itertools.product(COLOURS, THINGS, DOES)
]
TOWER = {"type": "text", "encoder": {"name": "textcnn", "filters": 24}}
SPEC: dict[str, Any] = {
    "inputs": {"english": TOWER},
    "output": {"german": {"type": "nearest", "of": TOWER, "dimensions": 16}},
    "train": {"epochs": 8, "threads": 1},
}
ONE = np.ones((1, 1))


def texts(*values: str, **options: Any) -> NearestColumn:
    found = columns.fit("nearest", "said", "said", values, {"of": "text", "dimensions": 8, **options})
    assert isinstance(found, NearestColumn)
    return found


def directions(*places: int) -> np.ndarray:
    """Vectors of length 1, (rows, 8), each along one of the axes."""
    return np.eye(8, dtype=np.float32)[list(places)]


# --------------------------------------------------------------------------------------------------------- column


def test_the_nearest_entries_are_answered_in_order() -> None:
    output = texts("a", "b", "c").in_gallery(["a", "b", "c"], directions(0, 1, 2))
    row = (directions(1) + 0.5 * directions(2)) / np.sqrt(1.25)
    answers = output.decode(row, top=5)
    assert answers["said"] == ["b"]
    assert answers["similarity"] == [pytest.approx(1 / 1.25**0.5, abs=1e-3)]
    assert [one["said"] for one in answers["said_top"][0]] == ["b", "c", "a"]
    assert answers.keys() == output.answer_schema().keys()


def test_equal_entries_are_one_whatever_white_space_they_have_and_the_first_stays() -> None:
    output = texts("a b", "c").in_gallery(["a b", "c", " a  b "], directions(0, 1, 2))
    assert output.entries is not None
    assert output.entries.names == ("a b", "c")
    np.testing.assert_array_equal(output.entries.vectors, directions(0, 1))


def test_entries_that_are_added_stand_behind_those_that_were_there() -> None:
    output = texts("a").in_gallery(["a"], directions(0)).in_gallery(["b", "a"], directions(1, 2), ["B", "A"], add=True)
    assert output.decode(directions(0, 1))["said"] == ["a", "B"]


def test_pictures_are_told_apart_by_content_and_called_by_their_path(tmp_path: Path) -> None:
    for name, level in {"one": 0, "two": 250, "copy": 0}.items():
        (tmp_path / "shots").mkdir(exist_ok=True)
        Image.new("L", (8, 8), level).save(tmp_path / "shots" / f"{name}.png")
    paths = [str(tmp_path / "shots" / f"{name}.png") for name in ("one", "two", "copy")]
    column = columns.fit("nearest", "shot", "shot", paths, {"of": {"type": "image", "size": 8}, "dimensions": 8})
    output = column.in_gallery(paths, directions(0, 1, 2))
    assert output.entries.names == ("shots/one.png", "shots/two.png")
    assert output.usable(paths[2]) is None
    assert "no such file" in output.usable(str(tmp_path / "none.png"))


def test_what_is_not_in_the_gallery_is_no_right_answer() -> None:
    column = texts("a", "b")
    assert column.usable("c") is None
    assert "not in the gallery" in str(column.in_gallery(["a", "b"], directions(0, 1)).usable("c"))
    assert column.usable(" ") == "no value"


def test_a_column_is_what_it_was_when_it_is_read_again(tmp_path: Path) -> None:
    for output in (texts("a", "b"), texts("a", "b").in_gallery(["a", "b"], directions(0, 1))):
        output.save(tmp_path)
        read = columns.restore(tmp_path, json.loads((tmp_path / "said.json").read_text()))
        assert read == output
    assert read.decode(directions(1))["said"] == ["b"]


def test_the_right_entry_is_placed_among_those_of_the_gallery_and_while_it_is_learnt_of_the_rows() -> None:
    column = texts("a", "b", "c")
    targets = column.targets(["a", "c", "a"])
    found = column.answered(targets, Named({"outputs": directions(0, 0, 0), "entry": directions(0, 1, 0)}))
    assert (found.rank.tolist(), found.entries) == ([1, 2, 1], 2)
    served = column.in_gallery(["a", "b", "c"], directions(0, 1, 2)).answered(targets, directions(0, 1, 2))
    assert served.entries == 3
    assert (served.rank[0], served.rank[1] > 1, served.true[1], served.nearest[1]) == (1, True, "c", "b")


@pytest.mark.parametrize(
    ("of", "said"),
    [("label", "a type that is read"), ("seed", "a type that is read"), ("texts", "did you mean 'text'")],
)
def test_what_entries_cannot_be_is_said(of: str, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        texts("a", of=of)


# -------------------------------------------------------------------------------------------------------- metrics


def test_places_are_counted() -> None:
    found = statistics(Retrieved(np.array([1, 3, 6, 40]), 50))
    values = {name: float(found[name]()(np.ones((4, 1)))[0]) for name in found}
    assert values == pytest.approx(
        {"recall@1": 0.25, "recall@5": 0.5, "recall@10": 0.75, "median_rank": 3, "mrr@10": (1 + 1 / 3 + 1 / 6) / 4}
    )
    drawn = np.array([[0.0, 3.0], [0, 0], [1, 0], [1, 1]])
    assert found["median_rank"]()(drawn).tolist() == [6, 1]


# ----------------------------------------------------------------------------------------------------------- head


def loss(rows: torch.Tensor, entries: torch.Tensor, ids: list[int]) -> torch.Tensor:
    answers = {"outputs": Padded(rows), "entry": Padded(entries), "scale": Padded(torch.full((len(ids), 1), 10.0))}
    return NearestHead.loss(answers, Batch({}, {"targets": Padded(torch.tensor(ids))}))


def test_the_loss_is_that_of_clip() -> None:
    rows, entries = (torch.nn.functional.normalize(torch.randn(5, 4), dim=1) for _ in range(2))
    logits = 10 * rows @ entries.T
    both = [torch.nn.functional.cross_entropy(one, torch.arange(5), reduction="none") for one in (logits, logits.T)]
    torch.testing.assert_close(loss(rows, entries, [0, 1, 2, 3, 4]), (both[0] + both[1]) / 2)


def test_rows_with_the_same_entry_are_not_told_apart() -> None:
    rows = torch.eye(3)[[0, 0, 1]]
    assert loss(rows, rows, [7, 7, 8]).max() < 1e-3
    assert loss(rows, rows, [7, 9, 8])[:2].min() > 0.5


# ----------------------------------------------------------------------------------------------------------- data


def test_rows_with_the_same_entry_share_a_split_and_the_type_of_entries_is_told(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"asked": f"question {i} of many", "said": f"answer {i // 4}"} for i in range(400)]
    made = place(tmp_path, rows)
    spec = parse({"data": str(made.folder / "rows.csv"), "inputs": {"asked": "text"}, "output": {"said": "nearest"}})
    prepared = prepare(spec, made.folder, Quiet())
    parts = [
        set(table.values["said"]) for table in (prepared.splits.train, prepared.splits.valid, prepared.splits.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 100
    assert prepared.output.options["of"] in ("text", "category")
    assert next(one.value for one in prepared.automatic if one.key == "output.said.of") == prepared.output.options["of"]


def test_no_gallery_is_made_of_rows_that_may_not_be_quoted(tmp_path: Path) -> None:
    made = place(tmp_path, PAIRS)
    spec = parse({"data": str(made.folder / "rows.csv"), "quotes": "none", **SPEC})
    with pytest.raises(TrimtabError, match="every answer quotes an entry"):
        check(spec, made.folder, tmp_path / "home", Quiet())


# ----------------------------------------------------------------------------------------------- inputs left out


def test_inputs_are_left_out_as_if_they_were_missing_and_one_of_each_row_stays() -> None:
    words = columns.fit("text", "words", "words", ["one two three", "four five"], {})
    number = columns.fit("number", "size", "size", [1.0, 2.0, 3.0], {})
    rows = columns.encode_rows([words, number], {"words": ["one two three"] * 400, "size": [3.0] * 400})
    lacking = columns.encode_rows([words, number], {"words": [None], "size": [None]})
    whole, none = (
        {name: torch.from_numpy(one) for name, one in some.batch(np.arange(len(some))).items()}
        for some in (rows, lacking)
    )
    dropped = dropping.made([words, number], 0.5, seed=1)
    assert dropped is not None
    gone = dropped.drawn(400, step=3, part=0)
    found = dropped(whole, step=3, part=0)
    assert not gone.all(axis=1).any()
    assert 0.15 < gone[:, 0].mean() < 0.35  # half of the inputs, where the other one stays
    assert found.keys() == whole.keys()
    size, mask = found["size_values"], found["words_mask"]
    assert (size[torch.from_numpy(gone[:, 1])] == none["size_values"]).all()
    assert (size[torch.from_numpy(~gone[:, 1])] == whole["size_values"][:1]).all()
    assert mask.sum(1)[torch.from_numpy(gone[:, 0])].unique().tolist() == [none["words_mask"].sum()]
    np.testing.assert_array_equal(gone, dropped.drawn(400, step=3, part=0))
    assert (gone != dropped.drawn(400, step=4, part=0)).any()


def test_of_one_input_none_can_be_left_out(tmp_path: Path) -> None:
    made = place(tmp_path, PAIRS)
    spec = parse({"data": str(made.folder / "rows.csv"), **SPEC, "train": {"drop_inputs": 0.5}})
    with pytest.raises(TrimtabError, match="there is one input"):
        check(spec, made.folder, tmp_path / "home", Quiet())


# --------------------------------------------------------------------------------------------------------- bundle


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> trimtab.Release:
    folder = tmp_path_factory.mktemp("retrieval")
    made = place(folder, PAIRS, name="pairs", gates={"recall@5": ">= 0.2"}, **SPEC)
    return trimtab.launch(made.spec, runs=made.runs)


def test_a_launch_ends_with_files_that_find_what_the_trained_network_does(release: trimtab.Release) -> None:
    manifest = release.manifest
    assert manifest.released, manifest.why
    assert manifest.evidence["differs"] <= 1e-4
    assert sorted(manifest.serving.graphs) == ["gallery", "model"]
    assert [one.name for one in manifest.serving.inputs] == ["english"]
    assert {"recall@1", "recall@5", "recall@10", "median_rank", "mrr@10"} <= manifest.measured.keys()
    simple = manifest.evidence["baselines"]
    assert simple.keys() == {"chance", "tf-idf nearest"}
    assert manifest.measured["recall@5"].value > 3 * simple["tf-idf nearest"]["recall@5"]["value"]
    assert manifest.evidence["gallery"] == len(PAIRS)


def test_a_bundle_answers_with_entries_of_all_its_rows(release: trimtab.Release) -> None:
    model = trimtab.load(release.folder)
    found = model.predict(PAIRS, top=3)
    assert np.mean([answer["german"] == row["german"] for answer, row in zip(found, PAIRS, strict=True)]) > 0.5
    assert len(found[0]["german_top"]) == 3
    assert found[0]["german_top"][0] == {"german": found[0]["german"], "similarity": found[0]["similarity"]}


def test_another_gallery_is_made_without_training(release: trimtab.Release, tmp_path: Path) -> None:
    rows = tmp_path / "more.csv"
    rows.write_text("german,short\nrot Hund rennt,RHR\n,\nblau Katze sitzt,BKS\n", encoding="utf-8")
    arguments = ["index", str(release.folder), str(rows)]
    assert main([*arguments, "--to", str(tmp_path / "few"), "--named", "short"]) == 0
    assert main([*arguments, "--to", str(tmp_path / "all"), "--add"]) == 0
    asked = [{"english": "red dog runs"}, {"english": "blue cat sits"}]
    few, every = (trimtab.load(tmp_path / name) for name in ("few", "all"))
    assert [answer["german"] for answer in few.predict(asked)] == ["RHR", "BKS"]
    np.testing.assert_array_equal(
        every.outputs({"english": ["red dog runs"]}), few.outputs({"english": ["red dog runs"]})
    )
    assert len(every.output.entries.names) == len(PAIRS)  # type: ignore[attr-defined]
    manifest = store.read_manifest(tmp_path / "few")
    assert (manifest.released, manifest.measured) == (False, {})
    assert manifest.lineage[-1].hash == release.manifest.hash != manifest.hash
    store.check_files(tmp_path / "few", manifest)


def test_rows_whose_entry_is_not_in_the_gallery_are_not_measured(
    release: trimtab.Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("english,german\nred dog runs,rot Hund rennt\nred dog runs,roter Hund\n", encoding="utf-8")
    assert main(["evaluate", str(release.folder), str(rows), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["rows"] == 1
    assert "not in the gallery" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "BUNDLE"], "this is the bundle itself"),
        (["--to", "new", "--named", "Short"], "no column named 'Short'"),
    ],
    ids=["itself", "no column"],
)
def test_what_cannot_be_indexed_is_said(
    release: trimtab.Release, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    rows = tmp_path / "more.csv"
    rows.write_text("german,short\nrot Hund rennt,RHR\n", encoding="utf-8")
    given = [str(release.folder) if one == "BUNDLE" else one for one in arguments]
    assert main(["index", str(release.folder), str(rows), *given]) == 2
    assert said in capsys.readouterr().err


def test_rows_without_an_entry_make_no_gallery(release: trimtab.Release, tmp_path: Path) -> None:
    rows = tmp_path / "none.csv"
    rows.write_text("german,other\n,1\n", encoding="utf-8")
    with pytest.raises(TrimtabError, match="no row has an entry"):
        gallery.index(release.folder, str(rows), tmp_path / "new")


def test_a_server_gives_the_best_entries_as_its_schema_says(release: trimtab.Release) -> None:
    with serving.client(release.folder) as client:
        found = client.post("/predict?top=2", json={"english": "red dog runs"}).json()
        document = client.get("/openapi.json").json()
        refused = client.post("/explain", json={"english": "red dog runs"})
    answers = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(found, {**answers, "components": document["components"]})
    assert len(found["answer"]["german_top"]) == 2
    assert refused.status_code == 422


def test_entries_are_made_in_memory_too(release: trimtab.Release) -> None:
    model = trimtab.load(release.folder).indexed(["rot Hund rennt", "blau Katze sitzt"])
    assert [one["german"] for one in model.predict([{"english": "blue cat sits"}])] == ["blau Katze sitzt"]
    assert isinstance(model, runtime.Model)


@pytest.mark.slow  # another launch, and a search
def test_a_gallery_of_pictures_is_found_by_words_in_fewer_bits_and_twice_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for number, (name, colour) in enumerate(itertools.product(["red", "green", "blue"], range(40))):
        pixels = draw.integers(0, 60, (16, 16, 3), np.uint8)
        pixels[colour % 4 * 4 : colour % 4 * 4 + 4, :, ["red", "green", "blue"].index(name)] = 250
        (tmp_path / "shots").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "shots" / f"{number}.png")
        rows.append(
            {"shot": f"shots/{number}.png", "words": f"{name} bar {['top', 'upper', 'lower', 'low'][colour % 4]}"}
        )
    spec = {
        "inputs": {"words": {"type": "text", "encoder": "textcnn"}},
        "output": {"shot": {"type": "nearest", "dimensions": 16}},
        "train": {"epochs": 6, "threads": 1},
        "compress": {"quantize": "int8"},
    }
    made = place(tmp_path, rows, **spec)
    first, second = (trimtab.launch(made.spec, runs=tmp_path / runs) for runs in ("one", "two"))
    assert first.manifest.hash == second.manifest.hash
    assert first.manifest.precision == "int8"
    assert (
        first.manifest.measured["median_rank"].value
        < first.manifest.evidence["baselines"]["chance"]["median_rank"]["value"]
    )
    answer = trimtab.load(first.folder).predict([{"words": "red bar top"}])[0]["shot"]
    assert answer.startswith("shots/")
