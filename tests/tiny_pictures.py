"""A small real bundle that reads pictures: red ones and blue ones, told apart by an ONNX model built by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from trimtab import columns, runtime
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.bundle.serving import ColumnEntry, GraphEntry, Serving

COLOURS = ("blue", "red")


def paint(folder: Path, *names: str) -> Path:
    """Pictures in a folder; each is of the colour that its name begins with."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8), name.partition("-")[0]).save(folder / name)
    return folder


def build(folder: Path) -> Path:
    """A whole bundle in `folder / "bundle"`: the input `image`, the output `label`."""
    pictures = [np.full((8, 8, 3), colour, np.uint8) for colour in ((0, 0, 255), (255, 0, 0))]
    image = columns.fit("image", "image", "image", pictures, {})
    label = columns.fit("label", "label", "label", COLOURS, {})
    staging = folder / "staging"
    staging.mkdir(parents=True)
    _write_model(staging)
    store.save_columns(staging / "columns", (image,), label)
    (staging / "card.md").write_text("# pictures\n")
    manifest = Manifest(
        trimtab="0.1.0",
        name="pictures",
        created="2026-01-01T00:00:00Z",
        task="label",
        spec={"data": ["rows.csv"], "output": "label", "seed": 7},
        serving=Serving(
            trimtab="0.1.0",
            inputs=[ColumnEntry(name="image", key="image", type="image")],
            output=ColumnEntry(name="label", key="label", type="label"),
            graphs={"model": GraphEntry(file="model.onnx", inputs=["image_pixels"], batch_cost=40)},
        ),
    )
    store.write_manifest(staging, manifest)
    runtime.write_golden(staging, [])
    store.save(staging, manifest, folder / "bundle")
    return folder / "bundle"


def _write_model(folder: Path) -> None:
    """Mean of each channel x (blue minus red, red minus blue)."""
    weights = np.array([[-1, 1], [0, 0], [1, -1]], np.float32) / 64
    nodes = [
        helper.make_node("Cast", ["image_pixels"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "places"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["outputs"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pictures",
        [helper.make_tensor_value_info("image_pixels", TensorProto.UINT8, ["rows", 3, 8, 8])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([2, 3]), "places")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
