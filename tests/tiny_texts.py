"""A small real bundle that writes texts: the tiny networks of `tiny_writer`, with columns of letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_writer
from tiny_writer import BOS, EOS, LONGEST, PAD, SHAPE, VOCABULARY
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from trimtab import runtime
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.bundle.serving import ColumnEntry, GraphEntry, ProgramEntry, Serving
from trimtab.columns.written_text import WrittenTextColumn

ROWS = [{"source": text} for text in ("c d e", "f", "c d e f g h i j", "k l", "m n o p q", "a b c d e f")]


def answer() -> WrittenTextColumn:
    """Letters, and a space for one of the tokens."""
    letters = [" ", *(chr(ord("a") + place) for place in range(26)), *"ABCDEFGHIJ"]
    words = {"<pad>": PAD, "<s>": BOS, "</s>": EOS} | {letter: place + 3 for place, letter in enumerate(letters)}
    assert len(words) == VOCABULARY
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<pad>", "<s>", "</s>"])
    return WrittenTextColumn("answer", "answer", tokenizer.to_str(), LONGEST, BOS, EOS, PAD)


def build(folder: Path, memory: bool = True, ends: float = 1.5, seed: int = 3, **options: Any) -> Path:
    """A whole bundle in `folder / "bundle"` that writes, with an encoder or without; `ends`: see `tiny_writer`."""
    staging, column, output = folder / "staging", tiny_writer.source(), answer()
    staging.mkdir(parents=True)
    prompt = {} if memory else {"prompt": ((BOS, 7), "source", (9,))}
    step_inputs = [*tiny_writer.STEP_INPUTS, *(tiny_writer.MEMORY if memory else ())]
    graphs = {"step": GraphEntry(file="step.onnx", inputs=step_inputs, outputs=list(tiny_writer.STEP_OUTPUTS))}
    (staging / "step.onnx").write_bytes(tiny_writer.step(seed, memory, ends=ends))
    if memory:
        tensors = ["source_ids", "source_mask"]
        graphs["encode"] = GraphEntry(file="encode.onnx", inputs=tensors, outputs=list(tiny_writer.ENCODE_OUTPUTS))
        (staging / "encode.onnx").write_bytes(tiny_writer.encode("source_ids", "source_mask"))
    manifest = Manifest(
        trimtab="0.1.0",
        name="tiny",
        created="2026-01-01T00:00:00Z",
        task="written_text",
        spec={"data": ["rows.csv"], "output": "answer", "seed": 7},
        serving=Serving(
            trimtab="0.1.0",
            inputs=[ColumnEntry(name=column.name, key=column.key, type=column.type)],
            output=ColumnEntry(name=output.name, key=output.key, type=output.type),
            graphs=graphs,
            program=ProgramEntry(name="stepwise", options={**SHAPE, "longest": 12, **prompt, **options}),
        ),
    )
    store.save_columns(staging / "columns", [column], output)
    (staging / "card.md").write_text("# tiny\n")
    store.write_manifest(staging, manifest)
    runtime.write_golden(staging, runtime.record_golden(runtime.load(staging, threads=1), ROWS))
    store.save(staging, manifest, folder / "bundle")
    return folder / "bundle"
