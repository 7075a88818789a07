"""A spec names the training method; one's own is a file in a folder `methods/`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trimtab import launch, registry, runtime
from trimtab.columns import dense
from trimtab.errors import TrimtabError
from trimtab.pipeline import training
from trimtab.progress import Quiet
from trimtab.request import check
from trimtab.spec import parse
from trimtab.train import frozen, logistic, methods

# Focal loss (Lin et al. 2017, arXiv:1708.02002): rows that are answered well already count less.
_FOCAL = '''
"""Rows that are answered well already count less."""

import torch
from pydantic import Field

from trimtab.train.methods.supervised import SupervisedMethod


class FocalMethod(SupervisedMethod):
    """Each loss times (1 - probability of the right class) to the power of `gamma`."""

    gamma: float = Field(2.0, ge=0, description="How much less they count.")

    def losses(self, run, answers, batch, mix):
        """The loss of each row, (rows,)."""
        own = super().losses(run, answers, batch, mix)
        return own * (1 - torch.exp(-own.detach())) ** self.gamma
'''
_TABLE = {
    "output": {"spam": "label"},
    "train": {"epochs": 8, "batch_tokens": 64, "learning_rate": 0.02},
    "gates": {"accuracy": ">= 0.8"},
}


@pytest.fixture
def own_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`focal` is found beside Trimtab's own training methods."""
    (tmp_path / "parts" / "methods").mkdir(parents=True)
    (tmp_path / "parts" / "methods" / "focal.py").write_text(_FOCAL)
    monkeypatch.setenv("TRIMTAB_PARTS", str(tmp_path / "parts"))


def rows(folder: Path) -> str:
    """Two numbers, of which the first says the answer."""
    lines = [f"{index % 37},{index * 7 % 11},{'yes' if index % 37 > 18 else 'no'}" for index in range(240)]
    (folder / "rows.csv").write_text("\n".join(["links,words,spam", *lines]))
    return str(folder / "rows.csv")


def asked(method: object) -> dict[str, object]:
    """A spec of the table that asks for a training method."""
    return {**_TABLE, "train": {**_TABLE["train"], "method": method}}


@pytest.mark.usefixtures("own_methods")
def test_a_method_of_ones_own_is_named_by_the_spec_and_releases_a_bundle(tmp_path: Path) -> None:
    spec = {**asked({"name": "focal", "gamma": 1.5}), "data": rows(tmp_path)}
    release = launch(spec, runs=tmp_path / "runs")
    assert release.released, release.manifest.why
    assert release.manifest.spec["train"]["method"] == {"name": "focal", "weights": None, "gamma": 1.5}
    assert runtime.load(release.folder).predict([{"links": 36, "words": 3}]).rows()[0]["spam"] == "yes"


@pytest.mark.slow
@pytest.mark.usefixtures("own_methods")
def test_the_method_decides_what_is_learnt(tmp_path: Path) -> None:
    data = rows(tmp_path)
    specs = [{**asked({"name": "focal", "gamma": gamma}), "data": data, "name": f"g{gamma}"} for gamma in (0, 4)]
    losses = [launch(spec, runs=tmp_path / "runs").manifest.evidence["history"][0]["loss"] for spec in specs]
    assert losses[1] < losses[0] / 2


@pytest.mark.usefixtures("own_methods")
@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("fokal", r"train\.method: no training method named 'fokal'.*did you mean 'focal'"),
        ("ful", r"did you mean 'full'"),
        ("distil", r"'distil' needs a trained network to learn from"),
        ({"name": "focal", "gama": 1}, r"train\.method \(focal\): no option named 'gama'.*did you mean 'gamma'"),
        ({"name": "focal", "gamma": -1}, r"train\.method \(focal\): gamma: found -1"),
        ({"name": "focal", "weights": "frozen"}, r"'frozen', but no input has a pretrained encoder"),
    ],
)
def test_a_wrong_method_is_told_before_anything_is_spent(tmp_path: Path, method: object, said: str) -> None:
    with pytest.raises(TrimtabError, match=f"(?s){said}"):
        launch({**asked(method), "data": rows(tmp_path)}, runs=tmp_path / "runs")
    assert not (tmp_path / "runs" / "rows" / "work" / "train").exists()


@pytest.mark.parametrize(("method", "weights", "by_name"), [("lora", "lora", False), ("mine", None, True)])
def test_weights_are_words_of_the_same_key(method: str, weights: str | None, by_name: bool) -> None:
    train = parse({"data": "x", "output": "y", "train": {"method": method}}).train
    assert (train.weights, train.training_method is not None) == (weights, by_name)


def test_every_method_of_the_folder_can_be_asked_for_or_says_that_it_cannot() -> None:
    kinds = {name: methods.kind(name).of_a_spec for name in registry.names(methods.__name__)}
    ours = {"contrastive": True, "distil": False, "probe": True, "supervised": True}
    assert ours.items() <= kinds.items()  # beside those that other tests have added


# ------------------------------------------------------------------------------------------- few rows with an answer


def few(reviews: list[dict[str, object]], each: int) -> list[dict[str, object]]:
    """So many reviews of each sentiment."""
    found: dict[object, list[dict[str, object]]] = {}
    for row in reviews:
        found.setdefault(row["sentiment"], []).append(row)
    return [row for rows in found.values() for row in rows[:each]]


def written(folder: Path, name: str, rows: list[dict[str, object]]) -> str:
    """A file of JSON lines."""
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["contrastive", pytest.param("probe", marks=pytest.mark.slow)])
def test_a_head_of_logistic_regression_is_exported_and_served_as_any_other(
    tmp_path: Path, tiny_base: Path, reviews: list[dict[str, object]], method: str
) -> None:
    spec = {
        "data": written(tmp_path, "few.jsonl", few(reviews, 12)),
        "output": "sentiment",
        "base": str(tiny_base),
        "train": {"method": method},
    }
    release = launch(spec, runs=tmp_path / "runs")
    weights = load_file(release.folder / "weights.safetensors")
    head = weights["head.layers.1.weight"]
    assert release.manifest.evidence["differs"] < 1e-4
    assert torch.allclose(head[0], -head[1], atol=1e-6)  # of two classes: one logit, shared out
    assert len(release.manifest.evidence["history"]) == 1
    base = load_file(tiny_base / "model.safetensors")
    key = "encoder.layer.1.output.dense.weight"
    moved = not torch.equal(weights[f"encoders.in_review.model.{key}"], base[key])
    assert moved == (method == "contrastive")


def test_rows_of_a_class_are_drawn_together_and_those_of_others_apart(
    tmp_path: Path, tiny_base: Path, reviews: list[dict[str, object]]
) -> None:
    spec = parse(
        {
            "data": written(tmp_path, "few.jsonl", few(reviews, 12)),
            "output": "sentiment",
            "base": str(tiny_base),
            "train": {"method": "contrastive", "epochs": 3, "learning_rate": 0.002},
        }
    )
    request = check(spec, tmp_path, tmp_path / "home", Quiet())
    labels = dense(request.output.targets(request.prepared.splits.train.values["sentiment"]))
    gaps = []
    for network in (training.build(request), training.train(request, tmp_path / "train", Quiet())[0]):
        found = frozen.vectors(network, request.train, 4096, torch.device("cpu")).values
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
        near = labels[:, None] == labels
        similarity = found @ found.T
        gaps.append(similarity[near].mean() - similarity[~near].mean())
    assert gaps[1] > gaps[0] + 0.2


def test_every_batch_of_pairs_holds_as_many_rows_of_each_class() -> None:
    classes = np.array([0] * 30 + [1] * 5)
    settings = SimpleNamespace(seed=3)
    groups = methods.kind("contrastive")(steps=2).batches(np.ones(35), settings, 0, classes)
    assert [np.bincount(classes[batch]).tolist() for (batch,) in groups] == [[8, 5]] * 2
    many = methods.kind("contrastive")().batches(np.ones(60), settings, 0, np.arange(60) // 3)
    assert all(np.unique(batch // 3, return_counts=True)[1].tolist() == [2] * 8 for (batch,) in many)


@pytest.mark.parametrize(
    ("output", "method", "said"),
    [
        ({"stars": "number"}, "contrastive", r"'contrastive', but the output is of type number"),
        ({"stars": "number"}, "probe", r"'probe', but the output is of type number"),
    ],
)
def test_what_cannot_learn_from_pairs_is_refused(
    tmp_path: Path, tiny_base: Path, reviews: list[dict[str, object]], output: object, method: str, said: str
) -> None:
    rows = [{"review": row["review"], "stars": index / 7} for index, row in enumerate(reviews[:40])]
    spec = {"data": written(tmp_path, "few.jsonl", rows), "output": output, "base": str(tiny_base)}
    with pytest.raises(TrimtabError, match=said):
        launch({**spec, "train": {"method": method}}, runs=tmp_path / "runs")


def test_a_regression_gives_a_logit_for_each_class_and_never_answers_one_without_rows() -> None:
    random = np.random.default_rng(0)
    targets = np.repeat([0, 2, 3], 20)
    vectors = (random.normal(size=(60, 5)) + 3 * np.eye(5)[targets]).astype(np.float32)
    for known in ([0, 2, 3], [0, 2]):
        own = np.isin(targets, known)
        found = logistic.fit(vectors[own], targets[own], 4)
        assert (found.logits(vectors[own]).argmax(1) == targets[own]).mean() > 0.9
        assert not np.isin(found.logits(vectors * 3).argmax(1), [one for one in range(4) if one not in known]).any()
