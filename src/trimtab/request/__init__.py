"""From a spec and its data to a request with nothing left open: everything that can be wrong is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import behaviour, columns, files, foreign, perturb
from trimtab import spec as specs
from trimtab.audit import counterfactual, gates, price
from trimtab.audit.paired import Adapted
from trimtab.behaviour import OwnTest, reading
from trimtab.bundle.manifest import Ancestor, Automatic
from trimtab.columns import EncodedRows, InputColumn, OutputColumn, dense
from trimtab.data import dedup
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.table import Table
from trimtab.errors import problem, several, shortened
from trimtab.nets.network import Architecture, EncoderEntry, encoder_kind, head_kind, part
from trimtab.progress import Progress
from trimtab.request import asking, encoder_plan, encoding, few_rows, mitigation, unlabelled
from trimtab.request.encoder_plan import Chosen
from trimtab.request.few_rows import HeldOut
from trimtab.rows import rejected
from trimtab.spec import Choice, Gate, Part, Spec, TrainingMethod, Typed, typed
from trimtab.train import augment, devices, dropping, methods, settings
from trimtab.train.batches import learnt_steps

# Parts of the report whose keys are no words of the rows; lists in them are left out, for they quote rows.
_COUNTED = (
    "encoding",
    "rows_read",
    "rows",
    "split",
    "balance",
    "missing",
    "duplicates",
    "conflicts",
    "leaks",
    "dropped",
    "cut",
)
_FUSION = ("mean", "each input's mean, side by side")
_LAST_FUSION = ("last", "the last state of a language model has seen the whole row")
_TABLE_FUSION = ("deepfm", "numbers and categories: products of pairs of columns beside hidden layers")


@dataclass(frozen=True)
class Request:
    """A spec that was checked against its data, with nothing left open."""

    spec: Spec
    gates: list[Gate]
    prepared: Prepared
    chosen: Chosen
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    architecture: Architecture
    settings: settings.Settings
    automatic: list[Automatic]
    train: EncodedRows
    valid: EncodedRows
    augmentation: augment.Augmentation | None
    unlabelled: dict[str, list[Any]]  # raw values of rows without an answer, by input
    seen: dict[str, np.ndarray]  # fingerprints of the rows that it learns from, and is chosen by
    ways: tuple[Part, ...] = ()  # training methods for few rows, of which cross-validation is to take one
    held_out: HeldOut | None = None  # where few rows were cross-validated
    tests: tuple[OwnTest, ...] = ()  # of the user's own
    foreign: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # raw values of rows of another kind, by input
    to_label: tuple[dict[str, Any], ...] = ()  # rows without an answer that are most worth one
    adapted: Adapted | None = None  # where a bundle goes on learning: what it is held against
    lineage: tuple[Ancestor, ...] = ()  # the bundles that it was adapted from
    searched: Mapping[str, Any] | None = None  # what a hyper-parameter search found, where one filled the spec in

    @property
    def searched_gates(self) -> list[Gate]:
        """What a search measures of every candidate."""
        return gates.searched(self.gates, price.pricing(self.spec.cost))


def reported(request: Request) -> dict[str, Any]:
    """What was found in the data, as the bundle tells it: where no row may be quoted, only how many of what."""
    report = request.prepared.report
    if request.spec.quote_rows:
        return report
    return {key: _counts(value) for key, value in report.items() if key in _COUNTED} | {"suspicious": [], "notes": []}


def _counts(value: Any) -> Any:
    """Numbers and their names, without the lists that quote rows."""
    if isinstance(value, dict):
        return {key: _counts(part) for key, part in value.items()}
    return [] if isinstance(value, (list, tuple)) else value


def thinned(request: Request, count: int) -> Request:
    """The same request with at most so many rows to learn from, and to choose by, evenly from all."""
    splits = request.prepared.splits
    splits = replace(splits, train=_some(splits.train, count), valid=_some(splits.valid, count))
    learnt = read_to_learn(request.inputs, request.output)
    train, valid = (encoding.encode(learnt, table) for table in (splits.train, splits.valid))
    return replace(request, prepared=replace(request.prepared, splits=splits), train=train, valid=valid)


def read_to_learn(inputs: tuple[InputColumn, ...], output: OutputColumn) -> tuple[InputColumn, ...]:
    """The columns that the network reads while it learns: right answers too, where they are read."""
    return inputs if output.learnt_as is None else (*inputs, output.learnt_as)


def _some(table: Table, count: int) -> Table:
    return table.take(np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).astype(np.int64)))


def check(spec: Spec, folder: Path, home: Path, progress: Progress) -> Request:
    """Find everything that is wrong with the request, and make every automatic choice, before training begins."""
    parsed = specs.parse_gates(spec.gates)
    progress.stage("data", ", ".join(spec.data))
    for note in spec.notes:
        progress.note(note)
    prepared = prepare(spec, folder, progress)
    perturbations = [found.name for column in prepared.inputs.values() for found in perturb.of_type(column.type)]
    tests = reading.read(spec.behaviour, folder)
    texts = any(columns.kind(column.type, "inputs").is_text for column in prepared.inputs.values())
    swaps = counterfactual.names(texts and columns.kind(prepared.task, "output").scored)
    checked = {"robustness": perturbations, "behaviour": behaviour.names(tests), "counterfactual": swaps}
    given = [key for key in gates.NEEDED if getattr(spec, key) is not None]
    gates.check_names(parsed, prepared.task, prepared.parts, checked, spec.protected, given)
    _check_promises(spec, prepared.task)
    automatic = [Automatic(key=a.key, value=a.value, reason=a.reason) for a in prepared.automatic]
    chosen = encoder_plan.choose(spec, prepared, folder, home / "work" / "base")
    automatic += chosen.automatic
    rejected.write(home / "rejected.jsonl", prepared.rejected)
    if prepared.rejected:
        progress.note(f"rows that were set aside: {home / 'rejected.jsonl'}")
    inputs, output = _fit(prepared, spec.output_name, chosen, home / "work" / "base")
    gates.check_meaning(parsed, output)
    mitigation.check(spec, output, inputs, prepared.splits.train)
    behaviour.check(tests, inputs, output)
    other = foreign.read(spec.foreign, inputs, folder, progress.note, spec.encoding)
    learnt = read_to_learn(inputs, output)
    valid = encoding.encode(learnt, prepared.splits.valid)
    train, found = encoding.read(learnt, prepared.splits.train)
    _tell(found, len(train), progress)
    cut = {name: one.shares(len(train)) for name, one in found.cuts.items()}
    told = {"problems": found.tally.as_json(), **({"cut": cut} if cut else {})}
    prepared = replace(prepared, report={**prepared.report, **told})
    decided = _decide(spec, prepared, chosen, inputs, output, train, automatic)
    for entry in decided.automatic[len(prepared.automatic) :]:
        if entry.value == 0.0:  # what is left off is not told
            continue
        progress.note(f"{entry.key}: {shortened(str(entry.value), 60)} ({entry.reason})")
    prepared = decided.prepared
    more = unlabelled.read(spec, inputs, prepared, folder, progress)
    if more.rejected:
        rejected.write(home / "rejected.jsonl", [*prepared.rejected, *more.rejected])
    if more.report:
        prepared = replace(prepared, report={**prepared.report, "unlabelled": more.report})
    return Request(
        spec, parsed, prepared, decided.chosen, inputs, output, decided.architecture, decided.settings,
        decided.automatic, train, valid, decided.augmentation, more.values, _seen(prepared, inputs, output),
        decided.ways, tests=tests, foreign=other,
    )  # fmt: skip


@dataclass(frozen=True)
class _Decided:
    """What is chosen once the columns are fitted and the training rows are encoded."""

    prepared: Prepared
    chosen: Chosen
    architecture: Architecture
    settings: settings.Settings
    automatic: list[Automatic]
    augmentation: augment.Augmentation | None
    ways: tuple[Part, ...]


def _decide(
    spec: Spec,
    prepared: Prepared,
    chosen: Chosen,
    inputs: tuple[InputColumn, ...],
    output: OutputColumn,
    train: EncodedRows,
    automatic: Sequence[Automatic],
) -> _Decided:
    automatic, learnt = list(automatic), read_to_learn(inputs, output)
    chosen, head, head_config = asking.head(spec, chosen, output, prepared.splits.train, train)
    targets = output.targets(prepared.splits.train.values[output.name])
    lengths = output.target_steps(targets)
    if head == output.type:
        prepared, head_config = _decoder(prepared, output, 0 if lengths is None else int(lengths.sum()), automatic)
    counts = np.bincount(dense(targets), minlength=output.width) if output.one_class else None
    ways = few_rows.ways(spec, output, chosen, prepared.splits)
    steps = learnt_steps(train, output, targets)
    settled, reasons = _settled(_with_method(spec, ways[0]) if len(ways) > 1 else spec, output, chosen, steps, counts)
    dropping.made(inputs, settled.drop_inputs, settled.seed)  # raises where no input may be left out
    augmentation, varied = _augmentation(prepared, chosen, learnt, output, settled)
    reasons |= varied
    _check_fusion(spec, output)
    fusion = _fusion(spec, chosen, automatic)
    automatic += [Automatic(key=key, value=value, reason=why) for key, (value, why) in reasons.items()]
    keys = {column.name: column.key for column in learnt}
    architecture = Architecture(
        width=chosen.width if chosen.base else head_config.get("width", chosen.width),
        encoders=tuple(
            EncoderEntry(name=r.encoder, reads=tuple(keys[name] for name in r.inputs), config=dict(r.config))
            for r in chosen.plans
        ),
        fusion=fusion.name,
        fusion_config=fusion.options,
        dropout=settled.dropout,
        head=head,
        head_config=head_config,
    )
    part("fusions", fusion.name, "fusion")
    return _Decided(prepared, chosen, architecture, settled, automatic, augmentation, ways)


def variant(request: Request, spec: Spec, folder: Path, workspace: Path) -> Request:
    """The request of a spec that asks for another network, or other training, on the same rows.

    It may differ in `train`, `fusion`, `base`, and in the options, the encoder and the base of each input. Columns that
    it does not change keep their encoded rows. `folder` is that of the spec, `workspace` receives what its bases need.
    """
    prepared = request.prepared
    if spec.inputs is not None and spec.inputs != request.spec.inputs:
        inputs = {name: typed(spec.inputs[name]) for name in prepared.inputs}
        request = replace(request, prepared=replace(prepared, inputs=inputs))
    if request.prepared is not prepared or spec.base != request.spec.base or request.chosen.language_model:
        request = _read_otherwise(request, spec, folder, workspace)
    prepared, chosen = request.prepared, request.chosen
    if chosen.base is None:
        encoder_plan.check_unused(spec, prepared)
    before = [Automatic(key=a.key, value=a.value, reason=a.reason) for a in prepared.automatic]
    before += chosen.automatic
    decided = _decide(spec, prepared, chosen, request.inputs, request.output, request.train, before)
    return replace(
        request,
        spec=spec,
        prepared=decided.prepared,
        chosen=decided.chosen,
        architecture=decided.architecture,
        settings=decided.settings,
        automatic=decided.automatic,
        augmentation=decided.augmentation,
        ways=decided.ways,
    )


def _read_otherwise(request: Request, spec: Spec, folder: Path, workspace: Path) -> Request:
    """The request with columns that are fitted anew, and the rows as these encode them."""
    prepared, known = request.prepared, (request.train, request.valid)
    chosen = encoder_plan.choose(spec, prepared, folder, workspace)
    inputs, output = _fit(prepared, spec.output_name, chosen, workspace)
    mitigation.check(spec, output, inputs, prepared.splits.train)
    behaviour.check(request.tests, inputs, output)
    tables = (prepared.splits.train, prepared.splits.valid)
    learnt = read_to_learn(inputs, output)
    train, valid = (encoding.reused(learnt, table, rows) for table, rows in zip(tables, known, strict=True))
    return replace(request, chosen=chosen, inputs=inputs, output=output, train=train, valid=valid)


def _check_promises(spec: Spec, task: str) -> None:
    """Refuse what answers of this type cannot promise. Raises TrimtabError."""
    kind = columns.kind(task, "output")
    if kind.gallery and not spec.quote_rows:
        raise problem("quotes", "none, and every answer quotes an entry of the rows", do="leave quotes out")
    wanted = [key for key in ("answers", "coverage") if getattr(spec, key) is not None and key not in kind.promises]
    why = {"answers": "has no confidence to withhold answers by", "coverage": "has no sets or intervals"}
    if wanted:
        raise several([problem(key, f"a {columns.word(task)} output {why[key]}", do="leave it out") for key in wanted])


def by_method(request: Request, part: Part, reason: str = "") -> Request:
    """The request with another training method and the settings that go with it; with a reason, as an automatic choice.

    `part` is what the spec would say of the method.
    """
    targets = request.output.targets(request.prepared.splits.train.values[request.output.name])
    counts = np.bincount(dense(targets), minlength=request.output.width) if request.output.one_class else None
    spec = _with_method(request.spec, part)
    steps = learnt_steps(request.train, request.output, targets)
    settled, reasons = _settled(spec, request.output, request.chosen, steps, counts)
    kept = [entry for entry in request.automatic if not entry.key.startswith("train.") and entry.key not in reasons]
    value = {"name": part.name, **part.options} if part.options else part.name
    made = {"train.method": Choice(value, reason), **reasons} if reason else reasons
    automatic = [*kept, *(Automatic(key=key, value=one, reason=why) for key, (one, why) in made.items())]
    return replace(request, settings=settled, automatic=automatic)


def _with_method(spec: Spec, part: Part) -> Spec:
    method = TrainingMethod.model_validate({"name": part.name, **part.options})
    return spec.model_copy(update={"train": spec.train.model_copy(update={"method": method})})


def _settled(
    spec: Spec, output: OutputColumn, chosen: Chosen, steps: np.ndarray, counts: np.ndarray | None
) -> tuple[settings.Settings, dict[str, Choice]]:
    """The settings of training, and what was chosen of them with the reasons."""
    method = methods.check(spec.train.training_method or methods.SUPERVISED, output, len(chosen.plans))
    return settings.choose(
        spec,
        output,
        chosen.base,
        len(steps),
        steps,
        counts,
        devices.device(),
        chosen.kind,
        method.weights,
        method.defaults(len(steps), chosen.base),
    )


# What can be done about values of a kind that training rows hold many of.
_ADVICE = {
    "cut": "split the texts, set inputs.{column}.max_tokens where the encoder takes more, or take one that does",
    "unknown": "take a base that knows this writing, or an encoder that learns its own tokens: "
    "inputs: {{{column}: {{type: text, encoder: textcnn}}}}",
}
_FEW_CUT = 0.01  # share of texts that may be cut without a word: by default up to 0.5% are


def _tell(found: encoding.Found, rows: int, progress: Progress) -> None:
    """What is wrong with the values of the training rows, and what can be done about it."""
    tally = found.tally
    for (column, kind), line in zip(tally.counts, tally.lines(), strict=True):
        if kind != "cut" or tally.counts[column, kind].values > _FEW_CUT * rows:
            progress.note(line)
            if kind == "cut":
                shares = found.cuts[column].shares(rows)
                cut, lost = shares["rows_cut"], shares["tokens_lost"]
                progress.note(f"  {cut:.0%} of the rows are cut, {lost:.0%} of all tokens are lost")
            if kind in _ADVICE:
                progress.note(f"  do: {_ADVICE[kind].format(column=column)}")


def _seen(prepared: Prepared, inputs: Sequence[InputColumn], output: OutputColumn) -> dict[str, np.ndarray]:
    """Fingerprints of the rows that the network is made by; of histories, which grow, none."""
    if any(column.holds_items for column in inputs):
        return {}
    kinds = dedup.told_apart(inputs, output)
    tables = {"train": prepared.splits.train, "valid": prepared.splits.valid}
    return {part: dedup.fingerprints(table, kinds) for part, table in tables.items()}


def _augmentation(
    prepared: Prepared,
    chosen: Chosen,
    inputs: Sequence[InputColumn],
    output: OutputColumn,
    settled: settings.Settings,
) -> tuple[augment.Augmentation | None, dict[str, Choice]]:
    """How training rows are varied; what a frozen encoder reads is left as it is."""
    frozen = {name for reader in chosen.plans if reader.base for name in reader.inputs}
    values, entry = prepared.splits.train.values, encoder_plan.entries_of(prepared)
    kinds = {**prepared.inputs, **({} if entry is None else {output.name: entry})}
    return augment.choose(kinds, inputs, values, output, frozen if settled.method == "frozen" else (), settled.seed)


def _check_fusion(spec: Spec, output: OutputColumn) -> None:
    if spec.fusion and head_kind(output.type, "output").reads == "states":
        name = spec.fusion if isinstance(spec.fusion, str) else spec.fusion.name
        found = f"{name!r}, but {columns.word(output.type)} answers are made from the states themselves"
        raise problem("fusion", found, do="leave fusion out")


def _fusion(spec: Spec, chosen: Chosen, automatic: list[Automatic]) -> Part:
    if isinstance(spec.fusion, str):
        return Part(name=spec.fusion)
    if spec.fusion:
        return spec.fusion
    table = chosen.kind == "table" and len(chosen.plans) > 1
    name, reason = _TABLE_FUSION if table else _LAST_FUSION if chosen.language_model else _FUSION
    automatic.append(Automatic(key="fusion", value=name, reason=reason))
    return Part(name=name)


def _decoder(
    prepared: Prepared, output: OutputColumn, tokens: int, automatic: list[Automatic]
) -> tuple[Prepared, dict[str, Any]]:
    """The output with the shape of the part that writes it, and this shape; nothing of a head that chooses none."""
    settle = getattr(head_kind(output.type, "output"), "settled", None)
    if settle is None:
        return prepared, {}
    where, given = f"output.{output.name}.decoder", prepared.output.options.get("decoder", {})
    config, reason = settle(given, len(prepared.splits.train), where, tokens)
    automatic.append(Automatic(key=where, value=config, reason=reason))
    settled = Typed.model_validate({**prepared.output.model_dump(exclude_unset=True), "decoder": config})
    return replace(prepared, output=settled), config


def _fit(
    prepared: Prepared, name: str, chosen: Chosen, workspace: Path
) -> tuple[tuple[InputColumn, ...], OutputColumn]:
    """Fit every column on the training rows; what inputs have to know of the output is found first."""
    table = prepared.splits.train
    keys = columns.keys([*prepared.inputs, name])
    needs = {
        column: {**reader.column_options, **({"follows": True} if position else {})}
        for reader in chosen.plans
        for position, column in enumerate(reader.inputs)
    }
    told_from = columns.kind(prepared.output.type, "output").input_options()
    needs = {column: {**options, **told_from} for column, options in needs.items()}
    if events := columns.kind(prepared.output.type, "output").events:  # items that are answered are known in a history
        known = [column for column, kind in prepared.inputs.items() if kind.type == events]
        needs |= {column: {**needs[column], "items": prepared.classes} for column in known}
    classes = {"classes": prepared.classes} if prepared.classes else {}
    options = {**classes, **asking.output_options(chosen, columns.kind(prepared.output.type, "output"))}
    options |= prepared.output.options
    if (entry := encoder_plan.entries_of(prepared)) is not None:
        options["of"] = {"type": entry.type, **needs.get(name, {}), **entry.options}
    output: OutputColumn = columns.fit(prepared.output.type, name, keys[name], table.values[name], options)
    shared = [column for column in prepared.inputs if _in_own_tokens(column, prepared, chosen)]
    output = output.joined_with(table.values[name], {keys[column]: table.values[column] for column in shared})
    if output.shared_tokenizer is not None:
        target = workspace / f"{output.key}.tokenizer.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(target, output.shared_tokenizer)
        needs |= {column: {**needs[column], "tokenizer": str(target), **output.shared_options} for column in shared}
    inputs = tuple(
        columns.fit(kind.type, column, keys[column], table.values[column], {**needs[column], **kind.options})
        for column, kind in prepared.inputs.items()
    )
    return inputs, output


def _in_own_tokens(column: str, prepared: Prepared, chosen: Chosen) -> bool:
    """Whether an input is a text whose tokens are to be learnt, by an encoder that reads any tokens."""
    kind = prepared.inputs[column]
    if columns.kind(kind.type, f"inputs.{column}").begins:
        return next(plan for plan in chosen.plans if column in plan.inputs).base is None
    if not columns.kind(kind.type, f"inputs.{column}").is_text or {"tokenizer", "vocabulary"} & kind.options.keys():
        return False
    plan = next(plan for plan in chosen.plans if column in plan.inputs)
    return plan.base is None and bool(getattr(encoder_kind(plan.encoder, "encoder"), "sequences", False))


def filled(request: Request) -> dict[str, Any]:
    """The spec with every default and every automatic choice written out."""
    values = request.spec.model_dump(mode="json")
    values["inputs"] = {name: kind.model_dump(mode="json") for name, kind in request.prepared.inputs.items()}
    values["output"] = {request.output.name: request.prepared.output.model_dump(mode="json")}
    for position, entry in enumerate(request.automatic):
        top, _, rest = entry.key.partition(".")
        part, _, key = entry.key.rpartition(".")
        if top == "output" or (top == "inputs" and position < len(request.prepared.automatic)):
            continue  # types, written in full above; a column's name may have dots as well
        if top == "inputs":
            name, _, key = rest.rpartition(".")
            if name in values["inputs"]:
                values["inputs"][name][key] = entry.value
        elif entry.key in values or (part in values and isinstance(values[part], dict)):
            (values[part] if part else values)[key or entry.key] = entry.value
    return values
