"""model2vec's distillation and classifier, as its documentation says: `... BASE ROWS.csv TARGET SEED`.

The base model's token embeddings are distilled (PCA to 256 dimensions), then trained with a head on the training rows.
TARGET is what `to_pipeline`, which leaves torch behind, writes; TARGET-int8 the same with embeddings in 8 bits.
"""

from __future__ import annotations

import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from model2vec.distill import distill
from model2vec.inference import StaticModelPipeline
from model2vec.model import quantize_model
from model2vec.train import StaticModelForClassification

from benchmarks import rows
from benchmarks.measure import answer_with, cores

DIMENSIONS = 256


def main(base: str, data: str, target: str, seed: str) -> None:
    """Distil and train; print the seconds that each took."""
    torch.set_num_threads(cores())
    shutil.rmtree(target, ignore_errors=True)
    train, valid = (rows.read(Path(data), split) for split in ("train", "valid"))
    begun = time.perf_counter()
    static = distill(base, pca_dims=DIMENSIONS)
    distilled = time.perf_counter()
    classifier = StaticModelForClassification.from_static_model(model=static)
    classifier.fit(train.texts, train.labels, X_val=valid.texts, y_val=valid.labels, random_seed=int(seed))
    pipeline = classifier.to_pipeline()
    pipeline.save_pretrained(target)
    StaticModelPipeline(quantize_model(pipeline.model, quantize_to="int8"), pipeline.head).save_pretrained(
        f"{target}-int8"
    )
    ended = time.perf_counter()
    answer_with(
        {
            "seconds": ended - begun,
            "distilling_seconds": distilled - begun,
            "version": f"model2vec {version('model2vec')}",
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
