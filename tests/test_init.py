"""What `trimtab init` and `trimtab sample` promise: a spec that can be read, files that are never overwritten."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trimtab.cli import init, sample
from trimtab.data import samples
from trimtab.data.prepare import prepare
from trimtab.errors import TrimtabError
from trimtab.progress import Quiet
from trimtab.spec import parse_gates, read


def run(command: object, *arguments: str) -> str:
    """Run a command, and return what it wrote to stdout. Raises what the command raises."""
    app = typer.Typer()
    app.command()(command)  # type: ignore[type-var]
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False).stdout


def test_the_spec_that_init_writes_can_be_launched(reviews_csv: Path, tmp_path: Path) -> None:
    spec_file = tmp_path / "trimtab.yaml"
    told = run(init.command, str(reviews_csv), "--to", str(spec_file))
    spec = read(spec_file)
    assert spec.output == {"sentiment": "label"}
    assert spec.inputs == {"review": "text"}
    assert [gate.name for gate in parse_gates(spec.gates)] == ["accuracy"]
    assert "2,985 rows" in told
    assert sum(prepare(spec, tmp_path, Quiet()).report["rows"].values()) > 2900


def test_answers_in_words_of_their_own_are_proposed_as_texts_to_be_written(tmp_path: Path) -> None:
    animals, deeds = ("dog", "cat", "crow", "hen", "frog", "ox"), ("sleeps", "eats", "waits", "sings")
    rows = [f"the {one} {deed},so the {one} {deed}" for one in animals for deed in deeds]
    (tmp_path / "pairs.csv").write_text("\n".join(["said,meant", *rows]), encoding="utf-8")
    told = run(init.command, str(tmp_path / "pairs.csv"), "--output", "meant", "--to", str(tmp_path / "a.yaml"))
    written = (tmp_path / "a.yaml").read_text(encoding="utf-8")
    assert "output: {meant: text}  # named by --output; 24 different texts, 4.0 words on average\n" in written
    assert "chrf:" in written
    assert "classes" not in told


def test_the_spec_names_the_data_as_seen_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "specs").mkdir()
    table = "\n".join(f"some words about {n},{n % 2}" for n in range(40))
    (tmp_path / "data" / "my table.csv").write_text(f"text,label\n{table}\n")
    monkeypatch.chdir(tmp_path)
    run(init.command, "data/my table.csv", "--to", "specs/a.yaml")
    spec = read(tmp_path / "specs" / "a.yaml")
    assert prepare(spec, tmp_path / "specs", Quiet()).report["rows_read"] == 40


def test_strange_column_names_survive_the_way_into_yaml(tmp_path: Path) -> None:
    names = ["y", "a: b", "c, {d}", "# e", "日本", "null", "'q\"", " 12"]
    file = tmp_path / "a.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        writer.writerows([n % 2, n, n * 7 % 31, f"v{n % 3}", f"w{n % 4}", n * n, f"{n % 5}x", n / 3] for n in range(60))
    run(init.command, str(file), "--to", str(tmp_path / "a.yaml"))
    spec = read(tmp_path / "a.yaml")
    assert spec.output == {"y": "label"}
    assert list(spec.inputs or ()) == [name.strip() for name in names[1:]]


def test_the_spec_says_which_base_reads_text_in_another_script(tmp_path: Path) -> None:
    rows = "\n".join(f"酒店 很干净 服务员 很友好 {n},{'ab'[n % 2]}" for n in range(40))
    (tmp_path / "said.csv").write_text(f"said,topic\n{rows}\n", encoding="utf-8")
    run(init.command, str(tmp_path / "said.csv"), "--to", str(tmp_path / "trimtab.yaml"))
    told = "100% of the letters are not Latin: read by e5-small, the base of 100 languages"
    assert told in (tmp_path / "trimtab.yaml").read_text(encoding="utf-8")


def test_what_gives_the_answer_away_is_left_out_of_the_inputs(tmp_path: Path) -> None:
    rows = "\n".join(f"{n},words of text {n},{'ab'[n % 2]},{n % 2},{('train', 'test')[n % 5 == 0]}" for n in range(200))
    (tmp_path / "a.csv").write_text(f"id,text,verdict,label,part\n{rows}\n")
    told = json.loads(run(init.command, str(tmp_path / "a.csv"), "--to", str(tmp_path / "a.yaml"), "--json"))
    spec = read(tmp_path / "a.yaml")
    assert spec.inputs == {"id": "ignore", "text": "text", "verdict": "ignore"}
    assert spec.split == "part"
    assert [warning["kind"] for warning in told["warnings"]] == ["target leakage"]
    assert told["spec"].endswith("a.yaml")


def test_a_spec_that_is_there_is_kept(reviews_csv: Path, tmp_path: Path) -> None:
    spec_file = tmp_path / "trimtab.yaml"
    spec_file.write_text("mine\n")
    with pytest.raises(TrimtabError, match=r"there is such a file already[\s\S]*--force"):
        run(init.command, str(reviews_csv), "--to", str(spec_file))
    assert spec_file.read_text() == "mine\n"
    run(init.command, str(reviews_csv), "--to", str(spec_file), "--force")
    assert spec_file.read_text() != "mine\n"


def test_an_unknown_output_is_an_error_and_writes_nothing(reviews_csv: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="did you mean 'sentiment'"):
        run(init.command, str(reviews_csv), "--to", str(tmp_path / "a.yaml"), "--output", "sentiments")
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize(
    ("name", "rows", "output"),
    [("breast-cancer", 569, "diagnosis"), ("wine", 178, "cultivar"), ("diabetes", 442, "progression")],
)
def test_a_sample_is_a_csv_that_init_understands(tmp_path: Path, name: str, rows: int, output: str) -> None:
    file = tmp_path / f"{name}.csv"
    run(sample.command, name, "--to", str(file))
    told = json.loads(run(init.command, str(file), "--to", str(tmp_path / "a.yaml"), "--json"))
    assert told["rows"] == rows
    assert told["output"]["value"] == output == samples.SAMPLES[name].output


def test_reviews_are_clear_cases_only(reviews_csv: Path, tmp_path: Path) -> None:
    run(sample.command, "ratings", "--to", str(tmp_path / "ratings.csv"))
    with (tmp_path / "ratings.csv").open(encoding="utf-8", newline="") as stream:
        ratings = [(row["review"], float(row["rating"])) for row in csv.DictReader(stream)]
    with reviews_csv.open(encoding="utf-8", newline="") as stream:
        reviews = [(row["review"], row["sentiment"]) for row in csv.DictReader(stream)]
    clear = [(text, "positive" if rating > 0 else "negative") for text, rating in ratings if abs(rating) >= 0.5]
    assert len(ratings) == 3708
    assert reviews == clear


def test_a_file_that_is_there_is_never_overwritten_silently(tmp_path: Path) -> None:
    file = tmp_path / "wine.csv"
    file.write_text("mine\n")
    with pytest.raises(TrimtabError, match="there is such a file already"):
        run(sample.command, "wine", "--to", str(file))
    assert file.read_text() == "mine\n"
    run(sample.command, "wine", "--to", str(file), "--force")
    assert file.read_text().count("\n") == 179


def test_all_samples_are_listed() -> None:
    told = run(sample.command)
    assert len(samples.SAMPLES) == 13
    assert all(name in told for name in samples.SAMPLES)


def test_an_unknown_sample_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(TrimtabError, match="did you mean 'reviews'"):
        run(sample.command, "review")


def test_offline_without_a_cache_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(TrimtabError, match=r"cannot be downloaded[\s\S]*connect to the network"):
        samples.write("reviews", tmp_path / "reviews.csv")
    assert not (tmp_path / "reviews.csv").exists()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_archive_in_the_cache_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "vaderSentiment-3.3.2.tar.gz").write_bytes(b"something else")
    with pytest.raises(TrimtabError, match="cannot be downloaded"):
        samples.write("reviews", tmp_path / "reviews.csv")
