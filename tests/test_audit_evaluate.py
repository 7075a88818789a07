"""`trimtab evaluate`, as a user calls it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from tiny_bundle import ROWS, build
from typer.testing import CliRunner, Result

from trimtab import runtime
from trimtab.audit import quality
from trimtab.cli import evaluate
from trimtab.errors import TrimtabError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("evaluate"))


def run(*arguments: object, stdin: str | None = None) -> Result:
    app = typer.Typer()
    app.command()(evaluate.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_json_holds_every_metric_with_its_interval(bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, write(tmp_path / "rows.csv", ROWS), "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    model = runtime.load(bundle)
    outputs = model.predict(ROWS).outputs
    expected = quality.measure(model.output, model.output.targets([row["mood"] for row in ROWS]), outputs, seed=7)
    assert (said["rows"], said["rejected"]) == (len(ROWS), 0)
    assert said["metrics"] == {
        name: {"value": one.value, "low": one.low, "high": one.high} for name, one in expected.items()
    }


def test_rows_without_a_usable_answer_are_set_aside_and_counted(bundle: Path, tmp_path: Path) -> None:
    rows = [*ROWS, {**ROWS[0], "mood": "furious"}, {**ROWS[0], "mood": ""}]
    path = write(tmp_path / "rows.csv", rows)
    path.write_text(path.read_text() + "one,cell,too,many,here\n")
    done = run(bundle, path, "--json")
    said = json.loads(done.stdout)
    assert (said["rows"], said["rejected"]) == (len(ROWS), 3)
    assert "3 rows set aside" in done.stderr
    assert "furious" in done.stderr


def test_json_lines_come_from_stdin(bundle: Path) -> None:
    done = run(bundle, "-", "--json", stdin="".join(json.dumps(row) + "\n" for row in ROWS))
    assert json.loads(done.stdout)["rows"] == len(ROWS)


def test_people_get_a_table(bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, write(tmp_path / "rows.csv", ROWS))
    assert "accuracy" in done.stdout
    assert "95% interval" in done.stdout
    assert f"{len(ROWS)} rows" in done.stdout


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_without_the_output_column_is_refused_with_the_nearest_name(
    bundle: Path, tmp_path: Path, ending: str
) -> None:
    rows = [{"mod" if name == "mood" else name: value for name, value in row.items()} for row in ROWS]
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        write(path, rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TrimtabError, match=r"(?s)no column named 'mood'.*did you mean 'mod'"):
        run(bundle, path)


def test_a_file_without_any_usable_row_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [{**row, "mood": "furious"} for row in ROWS])
    with pytest.raises(TrimtabError, match="no row can be measured"):
        run(bundle, path)


def test_a_file_without_a_needed_input_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [{"stars": "3", "shop": "north", "mood": "bad"}])
    with pytest.raises(TrimtabError, match="no column named 'review'"):
        run(bundle, path)
