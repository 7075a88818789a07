"""Sentences of product reviews, from the source archive of vaderSentiment (Hutto and Gilbert 2014)."""

from __future__ import annotations

import io
import tarfile

from trimtab.data.samples._archive import Archive
from trimtab.data.samples._sample import Cells, Sample, Table
from trimtab.errors import problem

ARCHIVE = Archive(
    "vaderSentiment==3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
_INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_RATINGS = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"
_UNDECIDED = 0.5  # a mean rating nearer to 0 is neither positive nor negative
_SOURCE = "PyPI: vaderSentiment 3.3.2 (Hutto and Gilbert 2014), Amazon review sentences rated by 20 people each"


def _reviews() -> Cells:
    decided = [row for row in _ratings() if abs(row["rating"]) >= _UNDECIDED]
    return [{"review": r["review"], "sentiment": "positive" if r["rating"] > 0 else "negative"} for r in decided]


def _ratings() -> Cells:
    """Lines `id <tab> mean rating <tab> text` of an archive inside the archive."""
    lines = _member(ARCHIVE.read(_INNER), _RATINGS).decode("utf-8").splitlines()
    cells = [line.split("\t", 2) for line in lines if line.strip()]
    return [{"review": text.strip(), "rating": float(rating)} for _, rating, text in cells]


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        file = tar.extractfile(name)
        if file is None:
            raise problem(ARCHIVE.file, f"{name} is not a file in it")
        return file.read()


SAMPLES = {
    "reviews": Sample(
        "sentences of product reviews: positive or negative", "sentiment", _SOURCE, "MIT", ARCHIVE, Table(_reviews)
    ),
    "ratings": Sample(
        "the same sentences with their mean rating, -4 to 4", "rating", _SOURCE, "MIT", ARCHIVE, Table(_ratings)
    ),
}
