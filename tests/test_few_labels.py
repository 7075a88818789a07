"""Few labelled rows: the training method is chosen by cross-validation, and all rows but the tested ones are learnt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trimtab import launch, runtime
from trimtab.errors import TrimtabError
from trimtab.pipeline import few
from trimtab.progress import Quiet
from trimtab.request import Request, check, few_rows
from trimtab.spec import Part, parse
from trimtab.train import fitted_head
from trimtab.train.fitted_head import Known

TOPICS = {
    "sport": ["match", "team", "goal", "coach", "player", "league", "season", "score"],
    "money": ["bank", "market", "price", "shares", "profit", "trade", "stock", "tax"],
    "weather": ["rain", "storm", "snow", "wind", "cloud", "sun", "frost", "heat"],
}


def texts(each: int, seed: int) -> list[dict[str, str]]:
    """Made-up rows of three topics, each of four words of its own and some of all."""
    random = np.random.default_rng(seed)
    common = ["the", "a", "and", "was", "is", "very", "new", "today"]
    return [
        {"text": " ".join(random.permutation([*random.choice(words, 4), *random.choice(common, 4)])), "topic": topic}
        for topic, words in TOPICS.items()
        for _ in range(each)
    ]


def written(folder: Path, name: str, rows: list[dict[str, str]]) -> str:
    """A file of JSON lines."""
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def spec_of(folder: Path, base: Path, each: int = 8, **keys: object) -> dict[str, object]:
    """A spec of few rows and a test file."""
    return {
        "data": written(folder, "few.jsonl", texts(each, 1)),
        "test": written(folder, "test.jsonl", texts(10, 2)),
        "output": "topic",
        "base": str(base),
        **keys,
    }


def checked(folder: Path, spec: dict[str, object]) -> Request:
    """The request of a spec."""
    return check(parse(spec), folder, folder / "home", Quiet())


def test_few_rows_are_all_learnt_and_the_reason_stands_in_the_manifest(tmp_path: Path, tiny_base: Path) -> None:
    spec = spec_of(tmp_path, tiny_base, unlabelled=written(tmp_path, "more.jsonl", texts(20, 3)))
    release = launch(spec, runs=tmp_path / "runs")
    (choice,) = (entry for entry in release.manifest.automatic if entry.key == "train.method")
    name = choice.value if isinstance(choice.value, str) else choice.value["name"]
    assert name in ("contrastive", "probe")
    assert "24 labelled rows, all learnt from; by cross-validation contrastive 0." in choice.reason
    assert release.manifest.spec["train"]["method"] == choice.value
    assert not (tmp_path / "runs" / "few" / "work" / "few" / "0").exists()
    again = launch(spec, runs=tmp_path / "runs")
    assert again.manifest.hash == release.manifest.hash
    named = [json.loads(line) for line in (tmp_path / "runs" / "few" / "to_label.jsonl").read_text().splitlines()]
    assert len(named) == 10
    assert {row["text"] for row in named} <= {row["text"] for row in texts(20, 3)}
    assert "Rows to label next" in (release.folder / "card.md").read_text()
    assert len(runtime.load(release.folder).predict([{"text": "the match was a goal"}]).rows()) == 1


def test_every_labelled_row_is_learnt_and_answered_once_by_a_network_that_had_not(
    tmp_path: Path, tiny_base: Path
) -> None:
    request = checked(tmp_path, spec_of(tmp_path, tiny_base))
    assert len(request.train) < 24
    found = few.chosen(request, tmp_path / "few", Quiet())
    assert found.held_out is not None
    assert len(np.unique(np.asarray(found.held_out.outputs), axis=0)) == 24
    assert np.bincount(np.asarray(found.held_out.targets)).tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    ("each", "keys", "ways"),
    [
        (8, {}, ["contrastive", "probe"]),
        (100, {}, []),
        (8, {"train": {"method": "full"}}, []),
        (8, {"train": {"method": "probe"}}, ["probe"]),
        (100, {"train": {"method": "probe"}}, []),
        (8, {"inputs": {"text": {"type": "text", "encoder": "textcnn"}}}, []),
    ],
)
def test_methods_are_tried_for_few_rows_of_text_alone(
    tmp_path: Path, tiny_base: Path, each: int, keys: dict[str, object], ways: list[str]
) -> None:
    spec = spec_of(tmp_path, tiny_base, each, **keys)
    if "inputs" in keys:
        spec.pop("base")
    assert [way.name for way in checked(tmp_path, spec).ways] == ways


def test_a_way_is_left_only_for_one_that_is_ahead_by_more_than_a_row() -> None:
    targets = np.zeros(20, np.int64)

    def way(name: str, wrong: int) -> few.Way:
        logits = np.stack([np.ones(20), np.zeros(20)], axis=1)
        logits[:wrong, 1] = 2.0
        return few.Way(Part(name=name), name, logits, targets)

    ways = [way("usual", 5), way("one", 4), way("three", 2)]
    assert few.best(ways[:2], 1.0).said == "usual"
    assert few.best(ways, 1.0).said == "three"
    assert ways[0].told() == "usual 0.75 (0.53 to 0.89)"


def test_folds_hold_each_row_once_and_a_share_of_every_class() -> None:
    targets = np.array([0] * 9 + [1] * 3 + [2])
    folds = few.folds(targets)
    assert sorted(np.concatenate(folds).tolist()) == list(range(13))
    assert [np.bincount(targets[fold], minlength=3)[:2].tolist() for fold in folds] == [[3, 1]] * 3


def clouds(each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of three classes that lie apart, and their classes."""
    random = np.random.default_rng(seed)
    targets = np.repeat(np.arange(3), each)
    middles = 1.6 * np.eye(8)[targets]
    return (middles + random.normal(size=(3 * each, 8)) * np.linspace(0.4, 1.2, 8)).astype(np.float32), targets


def test_rows_without_an_answer_make_the_head_better() -> None:
    more, _ = clouds(200, 1)
    tested, right = clouds(300, 2)
    gains = []
    for seed in range(3, 9):
        own, targets = clouds(2, seed)
        known = Known(own, targets, 3, unlabelled=more)
        plain, trained = (
            float((fitted_head.fitted(known, self_training=share).logits(tested).argmax(1) == right).mean())
            for share in (0.0, 0.8)
        )
        gains.append(trained - plain)
    assert np.mean(gains) > 0.02


def test_names_of_classes_are_rows_of_the_head() -> None:
    tested, right = clouds(300, 2)
    names = 1.6 * np.eye(8, dtype=np.float32)[:3]
    own, targets = clouds(1, 5)
    known = Known(own, targets, 3, names=names)
    plain, named = (fitted_head.fitted(known, class_names=used) for used in (False, True))
    assert (named.logits(tested).argmax(1) == right).mean() > (plain.logits(tested).argmax(1) == right).mean()


def test_the_surest_rows_are_as_many_of_each_class() -> None:
    logits = np.array([[3.0, 0], [2, 0], [1, 0], [0.5, 0], [0, 1], [0, 2], [0, 0.1], [0, 5]])
    rows, answers = fitted_head.surest(logits, 0.5)
    assert sorted(rows.tolist()) == [0, 1, 5, 7]
    assert answers.tolist() == [0, 0, 1, 1]


def test_names_that_say_nothing_are_not_used(tmp_path: Path, tiny_base: Path) -> None:
    output = checked(tmp_path, spec_of(tmp_path, tiny_base)).output
    assert few_rows.about(output, ["text", "title"]) == {
        "text": [f"This text is about {name}." for name in ("money", "sport", "weather")],
        "title": [None] * 3,
    }
    numbers = [{**row, "topic": str(list(TOPICS).index(row["topic"]))} for row in texts(8, 1)]
    spec = {**spec_of(tmp_path, tiny_base), "data": written(tmp_path, "numbers.jsonl", numbers)}
    spec.pop("test")
    assert few_rows.about(checked(tmp_path, spec).output, ["text"]) == {}


def test_rows_to_label_next_are_unsure_and_unlike_each_other() -> None:
    vectors = np.array([[1.0, 0], [0.99, 0.01], [0, 1], [0.01, 0.99], [-1, 0], [0.7, 0.7]])
    chances = np.array([[0.5, 0.5], [0.5, 0.5], [0.52, 0.48], [0.52, 0.48], [0.99, 0.01], [0.98, 0.02]])
    picked = few.to_label(vectors, chances, 2)
    assert len({0, 1} & set(picked.tolist())) == 1
    assert len({2, 3} & set(picked.tolist())) == 1


def zero(folder: Path, base: Path, **keys: object) -> dict[str, object]:
    """A spec of rows without labels and the names of the classes."""
    unlabelled = [{"text": row["text"]} for row in texts(20, 3)]
    spec = spec_of(folder, base, **keys)
    return {
        **spec,
        "data": written(folder, "rows.jsonl", unlabelled),
        "output": {"topic": {"type": "label", "classes": list(TOPICS)}},
        **keys,
    }


def test_without_a_label_the_names_of_the_classes_are_learnt(tmp_path: Path, tiny_base: Path) -> None:
    release = launch(zero(tmp_path, tiny_base), runs=tmp_path / "runs")
    manifest = release.manifest
    assert manifest.spec["train"]["method"]["name"] == "probe"
    assert manifest.data["unlabelled"]["rows"] == 60
    assert manifest.data["rows"]["test"] == 30
    assert runtime.load(release.folder).output.classes == tuple(TOPICS)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"test": None}, r"output: topic: no row has a label.*nothing can be measured\n.*test: labelled.csv"),
        (
            {"output": {"topic": {"type": "label", "classes": ["0", "1"]}}},
            r"the name of the class '0' says nothing",
        ),
        ({"output": "topic"}, r"topic"),
    ],
)
def test_a_start_without_labels_says_what_it_needs(
    tmp_path: Path, tiny_base: Path, keys: dict[str, object], said: str
) -> None:
    with pytest.raises(TrimtabError, match=f"(?s){said}"):
        launch(zero(tmp_path, tiny_base, **keys), runs=tmp_path / "runs")


@pytest.mark.slow
def test_topics_are_told_apart_by_their_names_alone(tmp_path: Path) -> None:
    release = launch({**zero(tmp_path, Path()), "base": "minilm"}, runs=tmp_path / "runs")
    assert release.manifest.measured["accuracy"].value > 0.8


@pytest.mark.slow
def test_eight_rows_of_each_topic_are_enough_for_minilm(tmp_path: Path) -> None:
    release = launch({**spec_of(tmp_path, Path()), "base": "minilm"}, runs=tmp_path / "runs")
    assert release.manifest.measured["accuracy"].value > 0.85
