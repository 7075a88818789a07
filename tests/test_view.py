"""What the commands print: names from the user's data stand there as they are, and do nothing to a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trimtab import registry, rows
from trimtab.__main__ import ORDER, main
from trimtab.bundle.manifest import Automatic, GateResult, Manifest, Measured
from trimtab.bundle.serving import ColumnEntry, GraphEntry, Serving
from trimtab.cli import _frontier, _view, evaluate, inspect, launch
from trimtab.compress.frontier import Frontier, Point, Skipped
from trimtab.errors import TrimtabError, brief, nearest, problem
from trimtab.pipeline.release import Release
from trimtab.report import card, plots
from trimtab.spec import read

NAMES = [
    "[/feature]", "[red]x", "[bold]", "a|b", "<script>", ":smile:", "\\[x]", "$x^$", "_x", "*b*", "שלום", "😀",
    "\x1b[31mred\x1b[2J", "bell\x07", "left\u202eright",
]  # fmt: skip
SHOWN = [*NAMES[:12], r"\x1b[31mred\x1b[2J", r"bell\x07", r"left\u202eright"]
HALF = Measured(value=0.5, low=0.4, high=0.6)


@pytest.fixture(params=["pipe", "terminal"])
def wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for whole names, on what is no terminal and on what is one."""
    for console in (_view.console, _view.result):  # COLUMNS is asked when they are made, whatever it was then
        monkeypatch.setattr(console, "_width", 1000)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR" if request.param == "terminal" else "NO_COLOR", "1")


def named(**changes: Any) -> Manifest:
    """A manifest in which every name is a strange one."""
    return Manifest(
        trimtab="0.1.0", name=NAMES[0], created="2026", task="label", spec={"data": [f"{NAMES[1]}.csv"]},
        serving=Serving(
            trimtab="0.1.0",
            inputs=[ColumnEntry(name=name, key=f"c{place}", type="text") for place, name in enumerate(NAMES)],
            output=ColumnEntry(name=NAMES[2], key="out", type="label"),
            graphs={"model": GraphEntry(file="model.onnx", inputs=[])},
        ),
        automatic=[Automatic(key=name, value=name, reason=name) for name in NAMES],
        measured=dict.fromkeys(NAMES, HALF), evidence={"baselines": {}}, why=NAMES,
        gates=[GateResult(name=name, asked=name, measured=None, met=False) for name in NAMES], **changes,
    )  # fmt: skip


def check(printed: str) -> None:
    assert [name for name in SHOWN if name not in printed] == []
    assert [bad for bad in ("\x1b[31mred", "\x1b[2J", "\x07", "\u202e") if bad in printed] == []


@pytest.mark.usefixtures("wide")
def test_every_table_shows_names_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect.show(named(), tmp_path, _view.result)
    check(capsys.readouterr().out)
    for manifest in (named(), named().model_copy(update={"gates": []})):
        launch.show(Release(tmp_path / "[b]", manifest))
        printed = capsys.readouterr().out
        check(printed)
        assert printed.count(str(tmp_path / "[b]")) == 3
    _view.result.print(evaluate._table(dict.fromkeys(NAMES, HALF), {}, 3))
    check(capsys.readouterr().out)
    points = tuple(Point(name=name, quality=HALF) for name in NAMES)
    skipped = tuple(Skipped(name, name) for name in NAMES)
    _frontier.show(Frontier(metric="accuracy", points=points, skipped=skipped, chosen=NAMES[0]), _view.result)
    check(capsys.readouterr().out)


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("view", [_view.Lines(every_seconds=0.0), _view.Live()], ids=["lines", "live"])
def test_progress_shows_names_as_they_are(view: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        view.stage(name, name)
        view.tick(1, 2, {name: 0.5})
        view.note(name)
    view.close()
    check(capsys.readouterr().err)


@pytest.mark.usefixtures("wide")
def test_a_look_at_data_shows_names_as_they_are_and_writes_a_spec_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, spec = tmp_path / "[i].jsonl", tmp_path / "spec.yaml"
    with rows.writer(file, "jsonl", ["label", *NAMES]) as sink:
        sink.write([{"label": NAMES[n % 3], **{name: f"{name} {n}" for name in NAMES}} for n in range(60)])
    assert main(["init", str(file), "--output", "label", "--to", str(spec)]) == 0
    printed = capsys.readouterr().out
    check(printed)
    assert "[i].jsonl" in printed
    assert set(read(spec).inputs or ()) == set(NAMES)


def test_every_command_has_its_place_in_the_list_of_commands() -> None:
    assert sorted(ORDER) == registry.names("trimtab.cli")


def test_an_error_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name, shown in zip(NAMES, SHOWN, strict=True):
        assert main(["predict", f"/no such {name}", "-"]) == 2
        printed = capsys.readouterr().err
        assert shown in printed
        assert "\x1b" not in printed


def test_a_card_and_its_plots_show_names_as_they_are(tmp_path: Path) -> None:
    card.write(tmp_path, named())
    for page in ("card.html", "card.md"):
        text = (tmp_path / page).read_text(encoding="utf-8")
        assert [bad for bad in ("\x1b", "\u202e", "\x07", "| a|b |") if bad in text] == []
    assert "<script>" not in (tmp_path / "card.html").read_text(encoding="utf-8")
    assert plots._short("\x1b[2J") == r"\x1b[2J"
    assert not plots._short("_x").startswith("_")  # a legend would leave it out


def test_a_message_holds_no_whole_cell() -> None:
    cell = 'it\'s "quoted" ' + "word " * 5000
    long = problem("a.csv", f"found {cell!r}, not a number; the row's other {cell}", nearest("x", [cell, "text"]))
    assert len(str(long)) < 2500
    assert str(long).startswith("a.csv: found 'it")
    assert brief(f"found {cell!r}, not a number").endswith("...', not a number")
    assert (
        brief("the bundle's " + "word " * 30 + "that is the row's")
        == "the bundle's " + "word " * 30 + "that is the row's"
    )
    assert isinstance(long, TrimtabError)
