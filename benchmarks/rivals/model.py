"""A transformers model with the very weights of a bundle: BERT, the mean of its states, a linear layer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPooledClassifier(BertPreTrainedModel):
    """What `AutoModelForSequenceClassification` would be, if BERT's classes pooled by the mean."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """(rows, steps) -> logits (rows, classes)."""
        states = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(states.dtype)
        return SequenceClassifierOutput(logits=self.classifier((states * weight).sum(1) / weight.sum(1)))


def convert(bundle: Path, base: str, target: Path) -> None:
    """Write the bundle's network as a folder that `from_pretrained` reads, with the base's tokenizer."""
    serving = json.loads((bundle / "serving.json").read_text(encoding="utf-8"))
    column = bundle / "columns" / f"{serving['output']['key']}.json"
    classes = json.loads(column.read_text(encoding="utf-8"))["classes"]
    key = serving["inputs"][0]["key"]
    weights = load_file(bundle / "weights.safetensors")
    config = BertConfig.from_pretrained(base, id2label=dict(enumerate(classes)))
    model = MeanPooledClassifier(config)
    prefix = f"encoders.in_{key}.model."
    renamed = {f"bert.{name.removeprefix(prefix)}": value for name, value in weights.items() if name.startswith(prefix)}
    last = max(name for name in weights if name.startswith("head.layers.") and name.endswith(".weight"))
    renamed |= {"classifier.weight": weights[last], "classifier.bias": weights[last.removesuffix("weight") + "bias"]}
    missing, unexpected = model.load_state_dict({name: value.float() for name, value in renamed.items()}, strict=False)
    assert not unexpected, unexpected
    assert all("position_ids" in name for name in missing), missing
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(base).save_pretrained(target)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    convert(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
