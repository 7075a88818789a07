"""A spec names the training method; one's own is a file in a folder `methods/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab import launch, runtime
from trimtab.errors import TrimtabError
from trimtab.spec import parse
from trimtab.train import methods

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
    kinds = {name: methods.kind(name).of_a_spec for name in ("supervised", "distil")}
    assert kinds == {"supervised": True, "distil": False}
