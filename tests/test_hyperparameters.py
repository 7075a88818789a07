"""Hyper-parameter search: what trials may try, that they go on after a kill, and that test rows choose nothing."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab import launch, registry
from trimtab.__main__ import main
from trimtab.errors import TrimtabError
from trimtab.hyperparameters import space as spaces
from trimtab.hyperparameters.results import Result
from trimtab.hyperparameters.space import Variants
from trimtab.hyperparameters.study import Study, opened
from trimtab.pipeline import hyperparameters, search
from trimtab.progress import Quiet
from trimtab.request import Request, check, filled
from trimtab.spec import Dimension, dimension, parse
from trimtab.train.checkpoint import Position

TRIALS = 4
JOBS = {"cook": 10.0, "clerk": 0.0, "smith": -10.0}


def table(count: int, seed: int) -> list[dict[str, object]]:
    """Made-up rows: whether somebody is rich hangs on two numbers and a category, and on chance."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        age, income, job = random.uniform(18, 80), random.normal(50, 20), str(random.choice(list(JOBS)))
        rich = income + JOBS[job] + 0.3 * (age - 50) + random.normal(0, 8) > 50
        found.append({"age": round(age, 1), "income": round(income, 1), "job": job, "rich": "yes" if rich else "no"})
    return found


def written(path: Path, rows: list[dict[str, object]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        sink = csv.DictWriter(file, list(rows[0]))
        sink.writeheader()
        sink.writerows(rows)
    return str(path)


def spec_of(folder: Path, **keys: object) -> dict[str, object]:
    """A table, and a file of test rows."""
    return {
        "data": written(folder / "rows.csv", table(300, 1)),
        "test": written(folder / "test.csv", table(80, 2)),
        "output": "rich",
        "train": {"epochs": 2},
        "search": {"trials": TRIALS},
        **keys,
    }


def request_of(folder: Path, **keys: object) -> Request:
    return check(parse(spec_of(folder, **keys)), folder, folder / "home", Quiet())


def plain(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trials, without what no two runs share."""
    return [{key: value for key, value in one.items() if key != "seconds"} for one in evidence["trials"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hyperparameters")


@pytest.fixture(scope="module")
def found(place: Path) -> hyperparameters.Found:
    return search(spec_of(place), runs=place / "runs")


# ------------------------------------------------------------------------------------------------------ the space


@pytest.mark.parametrize(
    ("key", "said", "shown"),
    [
        ("train.learning_rate", ["1e-5", "5e-4", "log"], "1e-05 to 0.0005, log"),
        ("train.epochs", [2, 6], "2 to 6"),
        ("train.dropout", [0, 0.5], "0 to 0.5"),
        ("train.method", ["full", "lora"], "full, lora"),
        ("train.patience", [1, 2, 5], "1, 2, 5"),
        ("fusion", ["mean", {"name": "dcn", "layers": 3}], 'mean, {"layers": 3, "name": "dcn"}'),
        ("fusion.hidden", [[32], [64, 32]], "[32], [64, 32]"),
        ("train.learning_rate", {"low": 0.2, "high": 5, "log": True, "relative": True}, "0.2 to 5, log times"),
    ],
)
def test_a_space_is_written_shortly(key: str, said: object, shown: str) -> None:
    assert str(dimension(key, said)).startswith(shown)


def test_whole_numbers_stay_whole_and_shares_do_not() -> None:
    assert [dimension(key, [1, 2]).whole for key in ("train.epochs", "inputs.age.bins")] == [True, True]
    assert [dimension(key, [0, 1]).whole for key in ("train.dropout", "train.learning_rate")] == [False, False]


WRONG = [
    ({"train.learning_rat": [1e-5, 1e-3]}, "train.learning_rat: no such key", "did you mean 'train.learning_rate'?"),
    ({"gates": ["a", "b"]}, "gates is the same for all trials", "train.*"),
    ({"clean.missing": ["mean", "median"]}, "clean is the same for all trials", "train.*"),
    ({"train.epochs": [6, 2]}, "its range goes from 6 to 2", "low below high"),
    ({"train.weight_decay": [0, 0.1, "log"]}, "log, and its range begins at 0", "above 0"),
    ({"train.dropout": [0, 2]}, "2.0: Input should be less than 1", "train.dropout"),
    ({"train.optimizer": ["adamw", "adamax"]}, "'adamax': Input should be 'adamw'", "train.optimizer"),
    ({"train.method": ["full"]}, "two values or more", "set train.method itself"),
    ({"train.method": ["full", "full"]}, "full stands there twice", "each value once"),
    ({"train.epochs": 3}, "found 3", "[low, high]"),
    ({"train.epochs": ["a", "log"]}, "found ['a', 'log']", "give two numbers"),
    ({"train.epochs": {"lo": 1, "high": 2}}, "no option named 'lo'", "did you mean 'low'?"),
    ({"train.epochs": {"values": [1, 2], "low": 1}}, "has values and a range", "name one of them"),
    ({"train.dropout": {"low": 1, "high": 2, "relative": True}}, "nothing is chosen here", "train.epochs"),
    ({"inputs.age": [1, 2]}, "no option of an input", "inputs.*.OPTION"),
    ({"train.lora.rank": {"values": [4, 8], "when": {"train.method": "lora"}}}, "'train.method' is not searched", ""),
    (
        {"train.method": ["full", "lora"], "train.lora.rank": {"values": [4, 8], "when": {"train.method": "loar"}}},
        "train.method never is 'loar'",
        "full, lora",
    ),
]


@pytest.mark.parametrize(("space", "told", "allowed"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_wrong_with_a_space_is_told_before_any_data_is_read(
    space: dict[str, object], told: str, allowed: str
) -> None:
    with pytest.raises(TrimtabError) as error:
        parse({"data": "nowhere.csv", "output": "rich", "search": {"space": space}})
    assert told in str(error.value)
    assert allowed in str(error.value)


def test_a_problem_of_a_space_is_told_with_its_line_and_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "data: a.csv\noutput: y\nsearch:\n  trial: 3\n  space:\n    train.epoch: [1, 2]\n    train.warmup: [1]\n"
    )
    with pytest.raises(TrimtabError) as error:
        launch(file)
    assert "3 problems" in str(error.value)
    assert f"{file}:4: search.trial: no key named 'trial'" in str(error.value)
    assert f"{file}:6: search.space: train.epoch" in str(error.value)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"inputs.agee.bins": [0, 8]}, "no such input"),
        ({"inputs.age.bin": [0, 8]}, "no option named 'bin'"),
        ({"inputs.*.binz": [0, 8]}, "no input has the option 'binz'"),
        ({"inputs.age.bins": [0, 999]}, "999"),
        ({"fusion": ["deepfm", "deepmf"]}, "did you mean 'deepfm'?"),
        ({"fusion.hiden": [[8], [16]]}, "no option named 'hiden'"),
        ({"train.method": ["scratch", "lora"]}, "no input has a pretrained encoder"),
    ],
    ids=["input", "option", "wildcard", "bound", "fusion", "option-of-fusion", "method"],
)
def test_what_no_network_can_be_made_of_is_told_before_anything_is_learnt(
    tmp_path: Path, space: dict[str, object], told: str
) -> None:
    with pytest.raises(TrimtabError, match=r"search\.space") as error:
        search(spec_of(tmp_path, search={"trials": 3, "space": space}), runs=tmp_path / "runs")
    assert told in str(error.value)
    assert not list((tmp_path / "runs").rglob("weights.safetensors"))


def test_few_labelled_rows_are_not_searched(tmp_path: Path, tiny_base: Path) -> None:
    rows = [{"text": f"{word} {number}", "kind": word} for word in ("good", "bad") for number in range(20)]
    spec = {
        "data": written(tmp_path / "few.csv", rows),
        "test": written(tmp_path / "test.csv", [{**row, "text": f"{row['text']} again"} for row in rows]),
        "output": "kind",
        "base": str(tiny_base),
        "search": {"trials": 2},
    }
    with pytest.raises(TrimtabError, match="labelled rows: too few to choose by"):
        search(spec, runs=tmp_path / "runs")


# ------------------------------------------------------------------------------------------- what is suggested, shared


def keys(request: Request) -> list[str]:
    return [one.key for one in spaces.dimensions(request)]


def test_a_space_by_default_fits_a_table_and_leaves_out_what_the_spec_says(tmp_path: Path) -> None:
    usual = keys(request_of(tmp_path))
    assert {"train.learning_rate", "fusion", "fusion.hidden", "inputs.*.bins", "train.label_smoothing"} <= set(usual)
    assert not {"train.epochs", "train.method", "base"} & set(usual)  # the spec says how many; no base reads a table
    asked = keys(request_of(tmp_path, fusion="dcn", train={"learning_rate": 0.01}))
    assert not {"fusion", "fusion.hidden", "train.learning_rate"} & set(asked)
    assert "train.epochs" in asked


def test_a_space_by_default_chooses_between_methods_of_a_pretrained_text_encoder(
    tmp_path: Path, tiny_base: Path, reviews: list[dict[str, object]]
) -> None:
    rows = written(tmp_path / "rows.csv", reviews)
    spec = {"data": rows, "output": "sentiment", "base": str(tiny_base), "train": {"layer_decay": 0.8}}
    request = check(parse({**spec, "search": {}}), tmp_path, tmp_path / "home", Quiet())
    found = {one.key: one for one in spaces.dimensions(replace(request, ways=()))}
    assert set(found["train.method"].values) == {"full", "lora", "frozen"}
    assert found["train.lora.rank"].when == (("train.method", ("lora",)),)
    assert found["train.learning_rate"].relative
    assert "base" not in found  # the spec names it


def test_rows_are_encoded_anew_only_where_a_trial_reads_them_otherwise(tmp_path: Path) -> None:
    request = request_of(tmp_path)
    variants = Variants(request, tmp_path, tmp_path / "base")
    same = variants.of(spaces.spec_with(request, {"fusion": "dcn", "fusion.layers": 3, "train.learning_rate": 0.01}))
    assert same.train is request.train
    assert same.architecture.fusion_config == {"layers": 3}
    assert same.settings.learning_rate == 0.01
    bins = variants.of(spaces.spec_with(request, {"inputs.*.bins": 4}))
    kept = [before is after for before, after in zip(request.train.encoded, bins.train.encoded, strict=True)]
    assert kept == [False, False, True]  # age, income, job
    again = variants.of(spaces.spec_with(request, {"inputs.*.bins": 4, "train.dropout": 0.3}))
    assert again.train is bins.train
    assert filled(again)["inputs"]["age"]["bins"] == 4


def test_factors_are_of_what_the_trial_would_take_without_them(
    tmp_path: Path, tiny_base: Path, reviews: list[dict[str, object]]
) -> None:
    spec = {"data": written(tmp_path / "rows.csv", reviews), "output": "sentiment", "base": str(tiny_base)}
    request = replace(check(parse(spec), tmp_path, tmp_path / "home", Quiet()), ways=())
    variants = Variants(request, tmp_path, tmp_path / "base")
    space = [
        dimension("train.method", ["full", "lora"]),
        Dimension("train.learning_rate", low=0.2, high=5.0, log=True, relative=True),
    ]
    lora = variants.of(spaces.spec_with(request, {"train.method": "lora"})).settings.learning_rate
    taken = spaces.resolved(variants, space, {"train.method": "lora", "train.learning_rate": 2.0})
    assert taken == {"train.method": "lora", "train.learning_rate": pytest.approx(2 * lora)}


# ----------------------------------------------------------------------------------------------------- what is found


def test_the_first_trial_is_the_spec_as_it_is_and_the_best_on_the_validation_rows_is_filled_in(
    found: hyperparameters.Found,
) -> None:
    trials = found.evidence["trials"]
    assert [one["trial"] for one in trials] == list(range(TRIALS))
    assert (trials[0]["values"], trials[0]["as_it_is"]) == ({}, True)
    done = [one for one in trials if one["state"] == "done"]
    best = next(one for one in done if one["trial"] == found.evidence["best"])
    assert best["score"] == max(one["score"] for one in done)
    said = filled(found.request)
    assert {key: said["train"][key.split(".")[1]] for key in best["values"] if key.startswith("train.")} == {
        key: value for key, value in best["values"].items() if key.startswith("train.")
    }
    assert {one.key for one in found.request.automatic if one.reason.startswith("trial ")} == set(best["values"])


def test_the_optimism_of_the_best_of_many_is_told(found: hyperparameters.Found) -> None:
    unseen, lines = found.evidence["unseen"], "\n".join(found.evidence["lines"])
    assert unseen["rows"] == 80
    assert "validation rows that chose it" in lines
    assert "80 test rows, which chose nothing" in lines
    assert 0 <= unseen["best"] <= 1


def test_a_search_that_has_ended_trains_nothing_again_and_goes_on_with_more_trials(
    place: Path, found: hyperparameters.Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.pipeline.training.loop.train", lambda *_: pytest.fail("a trial was repeated"))
    again = search(spec_of(place), runs=place / "runs")
    assert again.evidence == found.evidence


def test_a_killed_search_goes_on_to_the_same_result_and_test_rows_choose_nothing(
    tmp_path: Path, found: hyperparameters.Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path)
    wrong = [{**row, "rich": {"yes": "no", "no": "yes"}[str(row["rich"])]} for row in table(80, 2)]
    written(tmp_path / "test.csv", wrong)
    told = hyperparameters._Watch.on_score

    def killed(watch: Any, position: Position) -> None:
        told(watch, position)
        if watch.trial.number == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hyperparameters._Watch, "on_score", killed)
        with pytest.raises(KeyboardInterrupt):
            search(spec, runs=tmp_path / "runs")
    after = search(spec, runs=tmp_path / "runs")
    assert plain(after.evidence) == plain(found.evidence)
    assert after.evidence["best"] == found.evidence["best"]
    assert after.evidence["unseen"]["best"] == pytest.approx(1 - found.evidence["unseen"]["best"])


@pytest.mark.slow  # several processes
def test_a_search_that_is_killed_for_good_goes_on_to_the_same_result(
    tmp_path: Path, found: hyperparameters.Found
) -> None:
    spec = tmp_path / "rows.yaml"
    spec.write_text(json.dumps(spec_of(tmp_path)))
    command = [sys.executable, "-m", "trimtab", "search", str(spec), "--runs", str(tmp_path / "runs")]
    for number in range(2):
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as running:
            assert running.stderr is not None
            for line in running.stderr:
                if f"trial {number}: " in line:
                    running.kill()
        assert running.returncode == -signal.SIGKILL
    after = search(spec, runs=tmp_path / "runs")
    assert plain(after.evidence) == plain(found.evidence)


def test_a_launch_searches_first_and_takes_over_the_best_trial(
    place: Path, found: hyperparameters.Found, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = place / "rows.yaml"
    spec.write_text(json.dumps(spec_of(place, compress="none")))
    release = launch(spec, runs=place / "runs")
    manifest = release.manifest
    assert [stage.name for stage in manifest.stages][:2] == ["data", "search"]
    assert manifest.evidence["search"] == found.evidence
    own, taken = place / "runs" / "rows" / "work", manifest.evidence["search"]["best"]
    assert (own / "train" / "key").read_text() == (own / "search" / "networks" / str(taken) / "key").read_text()
    assert "Hyper-parameter search" in (release.folder / "card.md").read_text()
    assert manifest.spec["search"]["trials"] == TRIALS
    assert main(["search", str(spec), "--runs", str(place / "runs")]) == 0
    shown = capsys.readouterr().out
    assert "the spec as it is" in shown
    assert "next: trimtab launch" in shown


@pytest.mark.slow
def test_trials_learn_from_fewer_rows_and_the_best_is_launched_with_all(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, search={"trials": 2, "rows": 60})
    found = search(spec, runs=tmp_path / "runs")
    assert found.evidence["rows"]["train"] == 60
    assert len(found.request.train) > 200
    assert found.trained is None


@pytest.mark.slow  # each trial is exported
def test_costs_beside_quality_give_a_frontier(tmp_path: Path) -> None:
    searched = {"trials": 3, "objectives": ["size", "quality"], "space": {"fusion.hidden": [[8], [512, 256]]}}
    spec = spec_of(tmp_path, fusion="deepfm", gates={"size": "<= 0.3 MB"}, search=searched)
    found = search(spec, runs=tmp_path / "runs")
    trials = {one["trial"]: one for one in found.evidence["trials"]}
    assert len(trials) == 3
    assert sorted(one["values"].get("fusion.hidden", []) for one in trials.values()) == [[], [8], [512, 256]]
    meet = [one for one in trials.values() if one["size"] <= 0.3]
    assert len(meet) == 2
    assert trials[found.evidence["best"]]["score"] == max(one["score"] for one in meet)
    assert set(found.evidence["frontier"]) <= set(trials)


# ------------------------------------------------------------------------------------------------------- the study


SPACE = [dimension("train.epochs", [1, 2]), dimension("train.dropout", [0.0, 0.5])]


def study_at(url: str, worker: str = "local", space: Sequence[Dimension] = SPACE) -> Study:
    return opened(url, "name", space, {}, ("quality",), 7, worker)


def ended(study: Study, ranked: float, values: dict[str, Any] | None = None) -> int:
    trial = study.next()
    taken = study.taken(trial) if values is None else values
    study.finish(trial, Result(trial.number, "done", taken, ranked, ranked, {}, 1.0))
    return trial.number


@pytest.mark.slow  # more trials, or a plan of its own
def test_the_seed_alone_says_what_is_tried_next(tmp_path: Path) -> None:
    tried = []
    for name in ("one", "other"):
        url = f"sqlite:///{tmp_path / name}.db"
        for number in range(8):
            ended(study_at(url), -abs(number - 4.0))  # opened anew each time, as after a kill
        tried.append([one.values for one in study_at(url).results()])
    assert tried[0] == tried[1]
    assert len(study_at(f"sqlite:///{tmp_path / 'one'}.db").importance()) == 2


def test_a_space_that_is_used_up_is_noticed(tmp_path: Path) -> None:
    space = [dimension("train.epochs", [1, 2])]
    study = opened(f"sqlite:///{tmp_path / 'few'}.db", "name", space, {"train.epochs": 1}, ("quality",), 7, "local")
    repeats = 0
    for _ in range(12):
        trial = study.next()
        taken = study.taken(trial)
        twin = study.repeated(trial, taken)
        repeats += twin is not None
        if twin is None:
            study.finish(trial, Result(trial.number, "done", taken, 0.5, 0.5, {}, 1.0))
    assert [one.values for one in study.results()] == [{"train.epochs": 1}, {"train.epochs": 2}]
    assert repeats == 10
    assert study.repeats() >= 5  # the last ones in a row


def test_a_trial_that_falls_behind_is_given_up_but_not_the_first_ones(tmp_path: Path) -> None:
    study = study_at(f"sqlite:///{tmp_path / 'halved'}.db")
    given_up = []
    for ranked in (0.9, 0.5, 0.8, 0.95, 0.4):
        trial = study.next()
        study.report(trial, 1, ranked, 1.0)
        given_up.append(study.gives_up(trial, 9))
        study.finish(trial, Result(trial.number, "done", study.taken(trial), ranked, ranked, {}, 1.0))
    assert given_up == [False, False, False, False, True]


def test_several_machines_share_their_trials_on_postgresql(postgresql_server: str, tmp_path: Path) -> None:
    one, other = (study_at(postgresql_server, worker) for worker in ("one", "other"))
    running = one.next()
    assert other.next().number == running.number + 1
    assert one.next().number == running.number  # it was killed in that one
    one.finish(running, Result(running.number, "done", {}, 0.5, 0.5, {}, 3.0))
    assert [result.state for result in other.results()] == ["done", "running"]
    assert (one.spent(), other.spent()) == (3.0, 0.0)


def test_a_storage_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(TrimtabError, match="cannot be used") as error:
        study_at("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)
    said = parse({"data": "a.csv", "output": "y", "search": {"storage": "postgresql://me:secret@host/db?password=x"}})
    assert said.model_dump(mode="json")["search"]["storage"] == "postgresql://host/db"


def test_the_extra_is_named_where_optuna_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trimtab.hyperparameters.study")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TrimtabError, match=r"pip install 'trimtab\[search\]'"):
        registry.attribute("trimtab.hyperparameters.study", "opened", "search")
