"""`predict`, `inspect` and `verify`, as a user calls them."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tiny_bundle import ROWS, build
from typer.testing import CliRunner, Result

from trimtab import runtime
from trimtab.bundle import store
from trimtab.cli import inspect, predict, verify
from trimtab.errors import TrimtabError

INPUTS = ["review", "stars", "shop"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def answers(bundle: Path) -> list[dict[str, object]]:
    """What the runtime says about the rows."""
    return runtime.load(bundle).predict(ROWS).rows()


@pytest.fixture
def unanswered(tmp_path: Path) -> Path:
    """The rows without their output, as csv."""
    path = tmp_path / "new.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, INPUTS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def run(command: object, *arguments: object, stdin: str | bytes | None = None) -> Result:
    """Call one command; what it raises comes out."""
    app = typer.Typer()
    app.command()(command)  # type: ignore[type-var]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_the_same_rows_come_out_with_answers(bundle: Path, unanswered: Path, answers: list[dict[str, object]]) -> None:
    done = run(predict.command, bundle, unanswered)
    assert done.exit_code == 0
    found = read_csv(done.stdout)
    assert list(found[0]) == [*INPUTS, "mood", "confidence"]
    assert [{name: row[name] for name in INPUTS} for row in found] == [
        {name: row[name] for name in INPUTS} for row in ROWS
    ]
    assert [(row["mood"], float(row["confidence"])) for row in found] == [(a["mood"], a["confidence"]) for a in answers]
    assert "6 rows answered" in done.stderr


def test_stdin_and_stdout_take_either_format(bundle: Path, answers: list[dict[str, object]]) -> None:
    lines = "".join(json.dumps({name: row[name] for name in INPUTS}) + "\n" for row in ROWS)
    as_json = run(predict.command, bundle, stdin=lines)
    assert [json.loads(line)["mood"] for line in as_json.stdout.splitlines()] == [answer["mood"] for answer in answers]
    as_csv = run(predict.command, bundle, "-", "--format", "csv", stdin=lines)
    assert [row["mood"] for row in read_csv(as_csv.stdout)] == [answer["mood"] for answer in answers]


def test_labelled_rows_keep_their_label_beside_the_answer(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps({**row, "confidence": "mine"}) + "\n" for row in ROWS))
    found = [json.loads(line) for line in run(predict.command, bundle, path).stdout.splitlines()]
    assert [row["mood"] for row in found] == [row["mood"] for row in ROWS]
    assert {row["confidence"] for row in found} == {"mine"}
    assert all(row["predicted_mood"] in {"good", "bad", "so"} and row["predicted_confidence"] <= 1 for row in found)


def test_the_output_file_is_of_the_kind_that_its_name_says(bundle: Path, unanswered: Path, tmp_path: Path) -> None:
    run(predict.command, bundle, unanswered, "--output", tmp_path / "out.jsonl.gz")
    with gzip.open(tmp_path / "out.jsonl.gz", "rt") as stream:
        assert len([json.loads(line) for line in stream]) == len(ROWS)


def test_a_table_without_rows_gives_its_header(bundle: Path) -> None:
    done = run(predict.command, bundle, stdin="review,stars,shop\n")
    assert done.stdout == "review,stars,shop,mood,confidence\n"
    assert "0 rows answered" in done.stderr


def test_many_chunks_are_one_table_in_order(bundle: Path, answers: list[dict[str, object]]) -> None:
    many = 5000
    lines = "".join(json.dumps({**ROWS[place % 6], "place": place}) + "\n" for place in range(many))
    found = [json.loads(line) for line in run(predict.command, bundle, stdin=lines).stdout.splitlines()]
    assert [row["place"] for row in found] == list(range(many))
    assert all(row["predicted_mood"] == answers[row["place"] % 6]["mood"] for row in found)


def test_bad_rows_are_counted_and_kept(bundle: Path, tmp_path: Path) -> None:
    text = "review,stars,shop\nwarm,5,north\ncold,1\nfunny,4,south,and more\ndull,2,north\n"
    done = run(predict.command, bundle, "--rejected", tmp_path / "bad.jsonl", stdin=text)
    assert [row["review"] for row in read_csv(done.stdout)] == ["warm", "dull"]
    assert "2 rows could not be read" in done.stderr
    bad = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in bad] == [3, 4]


def test_a_column_that_can_be_done_without_is_named(bundle: Path) -> None:
    done = run(predict.command, bundle, stdin="review,shop\nwarm,north\n")
    assert done.exit_code == 0
    assert "no column 'stars': counted as missing in every row" in done.stderr
    done = run(predict.command, bundle, stdin="review,Star,shop\nwarm,3,north\n")
    assert "no column 'stars' (did you mean 'Star'?): counted as missing in every row" in done.stderr


def test_a_file_without_the_text_is_refused_before_anything_is_written(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match=r"no column named 'review'(?s:.*)did you mean 'Review'"):
        run(predict.command, bundle, "-", "-o", tmp_path / "out.csv", stdin="Review,stars\nwarm,5\n")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_turns_up_late_is_never_overwritten(bundle: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"review": "warm"})] * 100 + [json.dumps({"review": "cold", "mood": "bad"})]
    with pytest.raises(TrimtabError, match="line 101: the row has 'mood'"):
        run(predict.command, bundle, "-", "-o", tmp_path / "out.jsonl", stdin="\n".join(lines))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_stops_early_is_no_mistake(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("review,stars,shop\n" + "warm and funny,5,north\n" * 20_000)
    program = "import typer\nfrom trimtab.cli.predict import command\ntyper.run(command)"
    source = str(Path(runtime.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", program, str(bundle), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"review,stars,shop,mood,confidence\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


# --------------------------------------------------------------------------------------------- inspect and verify


def test_inspect_shows_what_is_inside(bundle: Path) -> None:
    done = run(inspect.command, bundle)
    for said in ("tiny: not released", "review", "text", "category", "mood", "label", "model.onnx"):
        assert said in done.stdout
    manifest = json.loads(run(inspect.command, bundle, "--json").stdout)
    serving = manifest.pop("serving")
    assert manifest == json.loads((bundle / "manifest.json").read_text())
    assert serving == json.loads((bundle / "serving.json").read_text())


def test_verify_checks_files_and_all_golden_rows(bundle: Path) -> None:
    done = run(verify.command, bundle)
    assert done.exit_code == 0
    assert "9 with the sha256" in done.stdout
    assert "golden rows: 6 answered" in done.stdout
    said = json.loads(run(verify.command, bundle, "--json").stdout)
    assert said["verified"] is True
    assert (said["files"], said["golden_rows"], said["largest_difference"]) == (9, 6, 0.0)


def test_verify_names_a_file_that_was_added(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    (copy / "columns" / "evil.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(TrimtabError, match=r"not listed: columns/evil.pkl"):
        run(verify.command, copy)


# getrusage would count what the tests' own process held before the child became another program
PEAK = """
import re, sys
from pathlib import Path
from trimtab.__main__ import main
code = main(sys.argv[1:])
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
sys.exit(code)
"""


def peak_megabytes(bundle: Path, rows: int, folder: Path) -> int:
    """The most memory that `predict` holds for so many small rows."""
    data = folder / f"{rows}.csv"
    shops = ("north", "south")
    with data.open("w") as stream:
        stream.write("review,stars,shop,note\n")
        stream.writelines(f'funny,{row % 5},{shops[row % 2]},"row {row} is kept as it is"\n' for row in range(rows))
    out = folder / f"{rows}-answered.csv"
    command = [sys.executable, "-c", PEAK, "predict", str(bundle), str(data), "--output", str(out), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    with out.open() as stream:
        assert sum(1 for _ in stream) == rows + 1
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's own peak")
def test_ten_times_the_rows_take_no_more_memory(bundle: Path, tmp_path: Path) -> None:
    quick = tmp_path / "quick"
    shutil.copytree(bundle, quick)
    manifest = store.read_manifest(quick)
    graphs = {"model": manifest.serving.graphs["model"].model_copy(update={"batch_cost": 8192})}
    serving = manifest.serving.model_copy(update={"graphs": graphs})
    store.write_manifest(quick, manifest.model_copy(update={"serving": serving}))
    few, many = (peak_megabytes(quick, rows, tmp_path) for rows in (5_000, 50_000))
    assert many - few < 8  # megabytes; 20 more where the rows are held
