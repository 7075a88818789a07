"""Which head a language model answers by, and the training rows that stand before others as examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trimtab import columns
from trimtab.columns import EncodedRows, OutputColumn, Prompt, dense
from trimtab.data.table import Table
from trimtab.errors import problem
from trimtab.pretrained import Translating
from trimtab.request import prompting
from trimtab.request.encoder_plan import Chosen, EncoderPlan
from trimtab.spec import Prompting, Spec
from trimtab.train import methods
from trimtab.train.methods.prompt import PromptMethod
from trimtab.values import parse

_WRITES, _WEIGHS, _TRANSLATES = "causal", "likelihood", "encoder_decoder"


def output_options(chosen: Chosen, output: type[OutputColumn]) -> dict[str, Any]:
    """What an answer that a language model writes has to know of its tokens."""
    plan, writes = chosen.language_model, _translating(chosen)
    if writes is not None and output.is_text:
        ends = {"start_id": writes.start, "end_id": writes.end, "pad_id": writes.pad, "first_id": writes.first}
        return {"tokenizer": writes.tokenizer, **ends}
    if plan is None or plan.answering is None or not output.is_text:
        return {}
    own = plan.answering
    return {"tokenizer": own.tokenizer, "start_id": own.end, "end_id": own.end, "pad_id": own.pad, "stop": own.stop}


def head(
    spec: Spec, chosen: Chosen, output: OutputColumn, table: Table, train: EncodedRows
) -> tuple[Chosen, str, dict[str, Any]]:
    """The readers, with rows of `table` as examples where these are asked for; the head, and its options.

    Raises TrimtabError where a language model is to be asked and there is none, or where it cannot answer so.
    """
    method, plan = methods.made(spec.train.training_method or methods.SUPERVISED), chosen.language_model
    if plan is None and spec.prompt != Prompting():
        raise problem("prompt", "no input is read by a language model", do="base: smollm2; or leave it out")
    if _translating(chosen) is not None and not isinstance(method, PromptMethod):
        return chosen, _checked_translation(spec, chosen, output), {}
    if not isinstance(method, PromptMethod):
        return chosen, _WRITES if plan is not None and _writes(spec, chosen, output) else output.type, {}
    if plan is None or plan.answering is None:
        raise problem("train.method", "'prompt', but no input is read by a language model", do="base: smollm2")
    _check_alone(chosen)
    if method.examples and not spec.quote_rows:
        raise problem("train.method: examples", "they are quoted, and `quotes: none` forbids it", do="examples: 0")
    own, values = plan.answering, table.values[output.name]
    config: dict[str, Any] = {}
    if output.one_class:
        choices = prompting.answers(output.classes, own.tokenizer, own.end)
        config = {"choices": choices, "end": own.end, "pad": own.pad}
        answers: Sequence[tuple[int, ...]] = [choices[target] for target in dense(output.targets(values))]
    elif output.is_text:
        answers = prompting.answers(list(map(parse.text, values)), own.tokenizer, own.end)
    else:
        found = f"'prompt', but answers of type {columns.word(output.type)} are neither one class nor a text"
        raise problem("train.method", found, "a label or a text as output; or lora")
    if method.examples:
        prompt = prompting.with_examples(Prompt.model_validate(plan.config["prompt"]), train, answers, method.examples)
        chosen = _with_prompt(chosen, plan, prompt)
    return chosen, _WEIGHS if config else _WRITES, config


def _translating(chosen: Chosen) -> Translating | None:
    """How answers are written, where a reader is one half of a model whose other half writes."""
    return next((plan.base.translating for plan in chosen.plans if plan.base and plan.base.translating), None)


def _checked_translation(spec: Spec, chosen: Chosen, output: OutputColumn) -> str:
    """The head of a model with an encoder and a decoder. Raises TrimtabError where it cannot answer so."""
    (name, *others) = [name for plan in chosen.plans for name in plan.inputs]
    if not output.is_text:
        found = f"a model that writes, but the output is {columns.word(output.type)}"
        raise problem("base", found, "a text as output; or an encoder as base, such as minilm")
    if others:
        found = f"a model that reads one text and writes another reads {name} alone, and not {', '.join(others)}"
        raise problem("inputs", found, do="write what it is to read into one column")
    if spec.train.weights == "frozen":
        raise problem("train.method", "'frozen', but the head that writes has no weights of its own", "lora, full")
    return _TRANSLATES


def _writes(spec: Spec, chosen: Chosen, output: OutputColumn) -> bool:
    if not output.is_text:
        return False
    _check_alone(chosen)
    if spec.train.weights == "frozen":
        raise problem(
            "train.method", "'frozen', but the head that writes has no weights of its own", "lora, full, prompt"
        )
    return True


def _check_alone(chosen: Chosen) -> None:
    if len(chosen.plans) > 1:
        others = [name for plan in chosen.plans if plan is not chosen.language_model for name in plan.inputs]
        found = f"the language model cannot read {', '.join(others)}"
        raise problem("inputs", found, do=f"`{others[0]}: text` writes it into the prompt; or leave it out")


def _with_prompt(chosen: Chosen, plan: EncoderPlan, prompt: Prompt) -> Chosen:
    changed = replace(plan, config={**plan.config, "prompt": prompt.model_dump(mode="json")})
    return replace(chosen, plans=tuple(changed if one is plan else one for one in chosen.plans))
