"""Which part of the network reads which input, and with which pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trimtab import columns, files, pretrained, registry
from trimtab.bundle.manifest import Automatic
from trimtab.columns import Prompt
from trimtab.compress import Skip, vocabulary
from trimtab.data.prepare import Prepared
from trimtab.errors import TrimtabError, problem
from trimtab.nets.network import encoder_kind, reads
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.pretrained import Base, Suited, Writing
from trimtab.request import prompting
from trimtab.spec import Part, Prompting, Spec, Typed, typed
from trimtab.train import methods
from trimtab.train.settings import Kind
from trimtab.values import list_cells, parse

# What reads texts that no bundled base knows: characters and their pairs. Convolutions need more rows than most have.
_FROM_SCRATCH = Part.model_validate({"name": "static", "pairs": 65_536})
_PROMPT_SHARE = 80  # per cent of the tokens that a language model sees; the rest is for its answer
_LARGE_VOCABULARY = 60_000  # tokens of a base beyond which it is cut before training: it is one of many languages


@dataclass(frozen=True)
class Answering:
    """How a language model writes: the path of the tokenizer of its answers, what ends one, and what fills it up."""

    tokenizer: str
    end: int
    pad: int
    stop: tuple[str, ...] = ()  # texts that end an answer too


@dataclass(frozen=True)
class EncoderPlan:
    """An encoder: the input columns that it reads, its options and the pretrained weights that it starts from."""

    encoder: str
    inputs: tuple[str, ...]
    config: Mapping[str, Any]
    base: Base | None
    states_width: int  # the width of states that suits it
    answering: Answering | None = None  # of a language model

    @property
    def column_options(self) -> dict[str, Any]:
        """What its columns have to know of the base; texts that are read together share its length."""
        options = dict(self.base.options) if self.base else {}
        if "limit" in options:
            options["limit"] = int(options["limit"]) // len(self.inputs)
        return options


@dataclass(frozen=True)
class Chosen:
    """All readers, in the order of their first inputs, and the choices that were made."""

    plans: tuple[EncoderPlan, ...]
    automatic: list[Automatic]

    @property
    def base(self) -> Base | None:
        """The pretrained encoder that decides how the network is trained: of several, one of a type that leads."""
        found = [reader.base for reader in self.plans if reader.base]
        return next((base for base in found if pretrained.leads(base.reads)), found[0] if found else None)

    @property
    def language_model(self) -> EncoderPlan | None:
        """The reader that can write answers."""
        return next((reader for reader in self.plans if reader.answering), None)

    @property
    def kind(self) -> Kind:
        """What decides how long the network learns."""
        if self.base:
            return "pretrained"
        encoders = [encoder_kind(plan.encoder, "encoder") for plan in self.plans]
        kinds = {getattr(encoder, "learns_like", "sequences") for encoder in encoders}
        return "table" if kinds == {"table"} else "pictures" if "pictures" in kinds else "sequences"

    @property
    def width(self) -> int:
        """Of the states of all inputs."""
        return self.base.width if self.base else max(reader.states_width for reader in self.plans)


def choose(spec: Spec, prepared: Prepared, folder: Path, workspace: Path) -> Chosen:
    """A reader for each input; texts with the same pretrained encoder are read together.

    Raises TrimtabError for an encoder that cannot read its column, and for a base that nothing would use.
    """
    shared = _shared_base(spec, prepared, folder)
    automatic: list[Automatic] = []
    prepared = _suiting(prepared, shared, automatic)
    suited = _suited(prepared, shared)
    readers = [
        _reader(name, kind, prepared, (spec, shared, suited), (folder, workspace), automatic)
        for name, kind in prepared.inputs.items()
    ]
    found = _together(readers, prepared.inputs, automatic)
    found = [_trimmed(reader, prepared, workspace, automatic) for reader in found]
    found = [_asked(reader, spec, prepared, automatic) for reader in found]
    found += _of_gallery(spec, prepared, shared, (folder, workspace), automatic)
    if not any(reader.base for reader in found):
        check_unused(spec, prepared)
    return Chosen(tuple(found), automatic)


def _of_gallery(
    spec: Spec, prepared: Prepared, shared: str | None, places: tuple[Path, Path], automatic: list[Automatic]
) -> list[EncoderPlan]:
    """What reads the entries of a gallery, chosen as for an input; nothing of an output that has none."""
    entry = entries_of(prepared)
    if entry is None:
        return []
    name, own = spec.output_name, replace(prepared, inputs={spec.output_name: entry})
    made: list[Automatic] = []
    reader = _reader(name, entry, own, (spec, shared, _suited(own, shared)), places, made, f"output.{name}.of")
    if reader.base is not None and reader.base.writing is not None:
        raise problem(f"output.{name}.of", "a language model reads no gallery", do="base: minilm; or another encoder")
    reader = _trimmed(reader, own, places[1], made)
    automatic += [_rekeyed(one, one.key.replace("inputs.", "output.", 1)) for one in made if one.key != "base"]
    bases = [one for one in made if one.key == "base"]
    known = any(one.key == "base" and one.value == base.value for base in bases for one in automatic)
    automatic += [] if known else [_rekeyed(base, f"output.{name}.of.base") for base in bases]
    return [reader]


def entries_of(prepared: Prepared) -> Typed | None:
    """What the entries of the gallery are, as a spec says it of an input; None of an output that has none."""
    if not columns.kind(prepared.output.type, "output").gallery:
        return None
    of = prepared.output.options["of"]
    return typed(of if isinstance(of, str) else Typed.model_validate(of))


def _rekeyed(choice: Automatic, key: str) -> Automatic:
    """The same choice, made of another key."""
    return choice.model_copy(update={"key": key})


def _suiting(prepared: Prepared, shared: str | None, automatic: list[Automatic]) -> Prepared:
    """With the encoders that suit the output, where neither an encoder nor a base is named."""
    output, rows = columns.kind(prepared.output.type, "output"), len(prepared.splits.train)
    inputs = dict(prepared.inputs)
    for name, kind in prepared.inputs.items():
        suits = output.encoder_of(columns.kind(kind.type, f"inputs.{name}"), rows)
        if suits is None or kind.encoder or kind.base or shared == kind.type:
            continue
        value, reason = suits
        inputs[name] = kind.model_copy(update={"encoder": Part.model_validate(value)})
        automatic.append(Automatic(key=f"inputs.{name}.encoder", value=value, reason=reason))
    return replace(prepared, inputs=inputs)


def _shared_base(spec: Spec, prepared: Prepared, folder: Path) -> str | None:
    """The column type that the spec's own `base` is for."""
    if spec.base is None:
        return None
    types = dict.fromkeys(kind.type for kind in prepared.inputs.values())
    owner = pretrained.owner(spec.base, folder)
    fitting = [kind for kind in types if _based_as(kind) in pretrained.kinds() and owner in (None, _based_as(kind))]
    if not fitting:
        wanted = owner or " or ".join(pretrained.kinds())
        found = f"{spec.base!r}, but no input is {wanted} (the inputs: {', '.join(types)})"
        raise problem("base", found, do="leave base out")
    return next((kind for kind in fitting if pretrained.leads(_based_as(kind))), fitting[0])


def _based_as(type_name: str) -> str:
    """The column type whose pretrained weights read columns of a type."""
    return str(getattr(columns.kind(type_name, "inputs"), "based_as", None) or type_name)


def _suited(prepared: Prepared, shared: str | None) -> Mapping[str, Suited]:
    """By column type, the bundled base of the inputs that name none; texts of a row are read by one of them."""
    found: dict[str, Suited] = {}
    for name, kind in prepared.inputs.items():
        if kind.type not in pretrained.kinds() or kind.base or shared == kind.type:
            continue
        part = kind.encoder_part
        if part and not issubclass(encoder_kind(part.name, f"inputs.{name}.encoder"), PretrainedEncoder):
            continue
        here = pretrained.suited(kind.type, prepared.splits.train.values[name])
        found.setdefault(kind.type, here)
        if here.for_all:
            found[kind.type] = here
    return found


def _reader(
    name: str,
    kind: Typed,
    prepared: Prepared,
    asked: tuple[Spec, str | None, Mapping[str, Suited]],
    places: tuple[Path, Path],
    automatic: list[Automatic],
    key: str = "",
) -> EncoderPlan:
    spec, shared, suited = asked
    key = key or f"inputs.{name}"
    if kind.base and _based_as(kind.type) not in pretrained.kinds():
        found = f"{kind.base!r}, but there are no pretrained encoders of a {kind.type}"
        raise problem(f"{key}.base", found, ", ".join(pretrained.kinds()), "leave base out")
    base_name = kind.base or (spec.base if shared == kind.type else None)
    base = pretrained.find(base_name, _based_as(kind.type), *places) if base_name else None
    if base and base.writing is None and getattr(columns.kind(kind.type, key), "begins", False):
        raise problem("base", f"{base.name!r} reads texts and writes none", "smollm2, or another language model")
    part = kind.encoder_part
    encoder = part.name if part else base.encoder if base else ""
    choice = suited.get(kind.type)
    if not encoder:
        values = prepared.splits.train.values[name]
        encoder, why = columns.kind(kind.type, key).encoder_for(values)
        if choice and choice.name is None:
            part = _FROM_SCRATCH
            encoder, why = part.name, f"characters and their pairs, from scratch: {_told(choice, kind.type)}"
        if encoder != kind.type:
            value = part.model_dump() if part else encoder
            automatic.append(Automatic(key=f"{key}.encoder", value=value, reason=why))
    where = f"{key}.encoder"
    reader = encoder_kind(encoder, where)
    if not reads(reader, columns.kind(kind.type, where)):
        raise problem(where, f"{encoder!r} does not read a column of type {kind.type!r}", ", ".join(reading(kind.type)))
    if base and base.encoder != encoder:
        raise problem(
            where, f"{encoder!r}, but the base {base.name!r} is read by {base.encoder!r}", do="name one of them"
        )
    if base is None and issubclass(reader, PretrainedEncoder) and reader.default_base:
        base = pretrained.find((choice and choice.name) or reader.default_base, kind.type, *places)
        if not any(made.key == "base" for made in automatic):
            reason = _told(choice, kind.type) if choice else "bundled with a package"
            automatic.append(Automatic(key="base", value=base.name, reason=reason))
    options = part.options if part else {}
    if base and options:
        raise problem(f"{where}: {next(iter(options))}", f"the base {base.name!r} decides the shape", do="leave it out")
    return EncoderPlan(encoder, (name,), base.config if base else options, base, int(reader.states_width))


def _told(choice: Suited, reads: str) -> str:
    """The reason of a choice, and what to install for a better one."""
    if choice.missing is None:
        return choice.reason
    command = pretrained.how_to_install(choice.missing, reads)
    return f"{choice.reason}; {choice.missing} would suit better and is not installed: {command}"


def reading(type_name: str) -> list[str]:
    """The encoders that read a column type; those whose packages are not installed are left out."""
    found = []
    for name in registry.names("trimtab.nets.encoders"):
        try:
            if reads(encoder_kind(name, "encoder"), columns.kind(type_name, "inputs")):
                found.append(name)
        except TrimtabError:  # a package is missing
            continue
    return found


def _together(readers: list[EncoderPlan], inputs: Mapping[str, Typed], automatic: list[Automatic]) -> list[EncoderPlan]:
    """Texts for which no encoder was asked become the segments of one sequence."""
    open_ones = [reader for reader in readers if inputs[reader.inputs[0]].encoder is None]
    joined = [r for r in open_ones if getattr(encoder_kind(r.encoder, "encoder"), "joins", False)]
    joined = [reader for reader in joined if reader.encoder == joined[0].encoder]
    if len(joined) < 2 or len({reader.base.source for reader in joined if reader.base}) > 1:
        return readers
    names = tuple(reader.inputs[0] for reader in joined)
    reason = "texts of one row are read as one sequence, so that the words of one see those of the other"
    automatic.append(Automatic(key="encoder", value=f"{' + '.join(names)} together", reason=reason))
    first = readers.index(joined[0])
    others = [reader for reader in readers if reader not in joined]
    return [*others[:first], replace(joined[0], inputs=names), *others[first:]]


def _trimmed(reader: EncoderPlan, prepared: Prepared, workspace: Path, automatic: list[Automatic]) -> EncoderPlan:
    """A reader with a large word table keeps the tokens that the training rows use, and characters for other rows."""
    base = reader.base
    if base is None or base.writing or base.translating or int(base.config.get("vocab_size", 0)) <= _LARGE_VOCABULARY:
        return reader
    values = prepared.splits.train.values
    texts = [list_cells.text(value) for name in reader.inputs for value in values[name]]
    definition = Path(base.options["tokenizer"]).read_text(encoding="utf-8")
    cut = vocabulary.cut(base.config, definition, int(base.options["pad_id"]), texts)
    if isinstance(cut, Skip):
        return reader
    target = workspace / f"{columns.keys(reader.inputs)[reader.inputs[0]]}.tokenizer.json"
    files.write(target, cut.definition)
    reason = f"of {base.config['vocab_size']:,}: those of the training rows, and characters for what they do not hold"
    automatic.append(Automatic(key=f"inputs.{reader.inputs[0]}.tokens", value=len(cut.kept), reason=reason))
    options = {**base.options, "tokenizer": str(target), "pad_id": cut.pad_id}
    base = replace(base, config=cut.config, options=options, tokens=cut.kept)
    return replace(reader, base=base, config=cut.config)


def _asked(reader: EncoderPlan, spec: Spec, prepared: Prepared, automatic: list[Automatic]) -> EncoderPlan:
    """A language model reads the columns of a row between the words of a prompt."""
    base = reader.base
    if base is None or base.writing is None:
        return reader
    if columns.kind(prepared.inputs[reader.inputs[0]].type, "inputs").begins:
        return _begun(reader, spec, base, base.writing, columns.keys([*prepared.inputs, spec.output_name]))
    output, asks = spec.output_name, methods.asks(spec.train.training_method)
    choices: tuple[str, ...] = ()
    if asks and columns.kind(prepared.task, "output").one_class:
        choices = tuple(sorted(set(map(parse.label, prepared.splits.train.values[output]))))
    made = prompting.template(spec.prompt, base.writing, reader.inputs, output, choices)
    if spec.prompt.template is None:
        reason = "the names of the columns" + (", as a user says it in a conversation" if made.chat else "")
        automatic.append(Automatic(key="prompt.template", value=made.text, reason=reason))
    if base.license:
        automatic.append(Automatic(key="base.license", value=base.license, reason=f"of the weights of {base.name}"))
    keys = columns.keys([*prepared.inputs, output])
    longest = base.writing.longest * _PROMPT_SHARE // 100
    prompt = prompting.prompt(made, base.writing, keys, longest)
    limit = longest - len(prompt.opening) - sum(len(piece) for piece in prompt.pieces if not isinstance(piece, str))
    if limit < len(reader.inputs):
        raise problem("prompt", f"its words alone have more than {longest} tokens", do="make it shorter")
    # Behind an answer comes what comes behind those of the examples.
    end = prompt.between[0] if asks else base.writing.end
    options = {**base.options, "tokenizer": made.columns_tokenizer(base.writing), "limit": limit}
    return replace(
        reader,
        base=replace(base, options=options),
        config={**reader.config, "prompt": prompt.model_dump(mode="json")},
        answering=Answering(
            made.answers_tokenizer(base.writing),
            end,
            base.writing.pad,
            (made.between,) if asks and not made.chat else (),
        ),
    )


def _begun(reader: EncoderPlan, spec: Spec, base: Base, writing: Writing, keys: Mapping[str, str]) -> EncoderPlan:
    """A language model that writes rows by itself reads what they begin with, behind what opens every text.

    Raises TrimtabError where it is to be asked something.
    """
    if spec.prompt != Prompting():
        raise problem("prompt", "nothing is asked where the rows themselves are learnt", do="leave it out")
    if methods.asks(spec.train.training_method):
        raise problem("train.method", "'prompt', but nothing is asked where the rows are learnt", "lora or full")
    prompt = Prompt(
        opening=writing.opening or (writing.end,), pieces=(keys[reader.inputs[0]],), longest=writing.longest
    )
    options = {**base.options, "tokenizer": writing.plain, "limit": writing.longest // 2}
    return replace(
        reader,
        base=replace(base, options=options),
        config={**reader.config, "prompt": prompt.model_dump(mode="json")},
        answering=Answering(writing.answer, writing.end, writing.pad),
    )


def check_unused(spec: Spec, prepared: Prepared) -> None:
    """Refuse a method that changes pretrained weights where there are none. Raises TrimtabError."""
    if spec.train.weights in ("lora", "frozen"):
        types = ", ".join(sorted({kind.type for kind in prepared.inputs.values()}))
        found = f"{spec.train.weights!r}, but no input has a pretrained encoder (the inputs: {types})"
        raise problem("train.method", found, "scratch, or nothing")
