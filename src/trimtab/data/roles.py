"""What each column is for: input, output or split mark. Settled, and checked, before any row is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab import columns
from trimtab.columns import InputColumn, OutputColumn
from trimtab.data import clean, infer, infer_output, splits
from trimtab.data.splits import Strategy
from trimtab.data.table import Table
from trimtab.errors import nearest, problem, several
from trimtab.spec import Clean, Spec, Split, Typed, typed


@dataclass(frozen=True)
class Automatic:
    """An automatic choice: the spec's key, the value taken and why."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Roles:
    """What each column is for, settled before any row is touched."""

    inputs: dict[str, clean.Rules]
    output_name: str
    output: Typed
    sources: tuple[str, ...]  # the columns that make up the output; none: the one that is called like it
    user: str | None  # where rows come from events: the column that says whose they are
    kept: tuple[str, ...]  # columns that travel with the rows and that the network never reads, unless they are inputs
    protected: tuple[str, ...]  # columns that say of which group a person is; they travel with the rows too
    weight: str | None  # the column that says how much a row counts, one of those that are kept
    split_name: str | None
    shares: Split
    strategy: Strategy  # for rows that no file and no column marks
    drop_duplicates: bool
    automatic: list[Automatic]

    @property
    def has_text(self) -> bool:
        """Whether equal rows are copies rather than chance."""
        return _are_copies(rule.column for rule in self.inputs.values())

    @property
    def has_classes(self) -> bool:
        """Whether each row is of one class, that other rows are of too."""
        return str(columns.kind(self.output.type, "output").strata) == "classes"

    @property
    def told_apart(self) -> dict[str, str]:
        """The columns, with their types, by which rows are copies of each other."""
        inputs = {name: rule.column.type for name, rule in self.inputs.items()}
        open_ended = columns.kind(self.output.type, "output").open_ended
        return {**inputs, **({self.output_name: self.values_type} if open_ended else {})}

    @property
    def values_type(self) -> str:
        """The type whose values right answers are."""
        return str(columns.kind(self.output.type, "output").values_type(self.output.options))

    @property
    def names(self) -> tuple[str, ...]:
        """Words for "no value" that are names in the output."""
        return tuple(map(str, self.output.options.get("not_missing") or ()))

    @property
    def needed(self) -> list[str]:
        """Columns that training rows must have."""
        beside = [self.user] if self.user else []
        answers = self.sources or (self.output_name,)
        return list(dict.fromkeys((*self.inputs, *answers, *beside, *self.kept, *self.protected)))


def settle(spec: Spec, table: Table) -> Roles:
    """The role and type of every column. Raises TrimtabError for names and types that do not fit."""
    split_name = spec.split if isinstance(spec.split, str) else None
    shares = spec.split if isinstance(spec.split, Split) else Split()
    strategy = splits.strategy(shares)
    _check_names(spec, table, split_name, strategy)
    kept = tuple(dict.fromkeys((*spec.keep, *strategy.columns, *([spec.weight] if spec.weight else []))))
    inputs, automatic = _inputs(spec, table, split_name, kept)
    output, chosen = _output(spec, table)
    _check_cells(table, {**inputs, **({} if _sources(spec) else {spec.output_name: output})})
    inputs, automatic = _told_from(output, spec, table, inputs, automatic)
    if not inputs:
        reasons = "; ".join(f"{choice.key.partition('.')[2]}: {choice.reason}" for choice in automatic)
        raise problem(
            "inputs",
            f"no column is left to learn from ({reasons or 'all are ignored'})",
            do="name them: inputs: {column: type}",
        )
    automatic += chosen
    # Of events the equal ones were left out when they became rows.
    drop, chosen = (False, []) if _user(spec) else _duplicates(spec.clean, _are_copies(inputs.values()))
    return Roles(
        inputs={name: clean.rules(column, spec.clean) for name, column in inputs.items()},
        output_name=spec.output_name,
        output=output,
        sources=_sources(spec),
        user=_user(spec),
        kept=kept,
        protected=spec.protected,
        weight=spec.weight,
        split_name=split_name,
        shares=shares,
        strategy=strategy,
        drop_duplicates=drop,
        automatic=automatic + chosen,
    )


def _check_cells(table: Table, kinds: Mapping[str, Typed]) -> None:
    """Raises one TrimtabError for all columns whose cells are objects where their type reads values."""
    wrong = []
    for name, kind in kinds.items():
        objects = list(table.of_kind(name, Mapping))
        if objects and columns.kind(kind.type, name).holds_values and 2 * len(objects) > len(table):
            keys = [str(key) for key in objects[0]]
            do = f"write the part that is meant into a column of its own, such as {name}_{keys[0] if keys else 'value'}"
            found = f"its cells are objects with the keys {', '.join(keys)}"
            wrong.append(
                problem(f"column {name!r} ({kind.type})", found, "a text, a number or a list in each cell", do)
            )
    if wrong:
        raise several(wrong)


def _are_copies(inputs: Iterable[Typed]) -> bool:
    return any(columns.kind(column.type, "inputs").copied for column in inputs)


def _check_names(spec: Spec, table: Table, split_name: str | None, strategy: Strategy) -> None:
    """Raises one TrimtabError for all columns that are named but not there, or named twice."""
    answers = _sources(spec) or (spec.output_name,)
    places = [*(("output", name) for name in answers), *((f"inputs.{name}", name) for name in spec.inputs or ())]
    places += [("split", split_name)] if split_name else []
    beside = [*(("keep", name) for name in spec.keep), *(("protected", name) for name in spec.protected)]
    beside += [("split", name) for name in strategy.columns]
    beside += [("weight", spec.weight)] if spec.weight else []
    places += beside
    missing = [
        problem(place, f"the data has no column named {name!r}", nearest(name, table.values))
        for place, name in places
        if name not in table.values
    ]
    taken = dict.fromkeys((spec.output_name, *answers))
    named = {name for name, kind in (spec.inputs or {}).items() if typed(kind).type != "ignore"}
    twice = [
        problem(f"inputs.{name}", f"{name!r} is also the {role}", do=f"take {name!r} out of the inputs")
        for role, name in (*(("output", name) for name in taken), ("split column", split_name))
        if name in named
    ]
    if repeated := [name for name, count in Counter(answers).items() if count > 1]:
        twice.append(problem(f"output.{spec.output_name}.columns", f"{repeated[0]!r} is named twice", "each once"))
    twice += [
        problem(place, f"{name!r} is also the output", "columns that say more of the rows")
        for place, name in beside
        if name in taken
    ]
    if spec.weight in named:
        do = f"take {spec.weight!r} out of the inputs"
        twice.append(problem("weight", f"{spec.weight!r} is also an input", do=do))
    if split_name in taken:
        twice.append(problem("split", f"{split_name!r} is also the output", "a column that names train and test rows"))
    if missing or twice:
        raise several(missing + twice)


def _inputs(
    spec: Spec, table: Table, split_name: str | None, kept: Sequence[str]
) -> tuple[dict[str, Typed], list[Automatic]]:
    """Input columns and the automatic choices among them.

    Where the user names types, only those columns are read; where they only name columns to ignore, all others but
    those that are kept beside the inputs.
    """
    wanted = {name: typed(column) for name, column in (spec.inputs or {}).items()}
    if any(column.type != "ignore" for column in wanted.values()):
        found = {name: column for name, column in wanted.items() if column.type != "ignore"}
        for name, column in found.items():
            _check_kind(column.type, InputColumn, f"inputs.{name}")
        return found, []
    taken = (spec.output_name, *_sources(spec), split_name, *kept, *wanted)
    candidates = [name for name in table.values if name not in taken]
    inferred = {name: infer.input_type(name, table.values[name]) for name in candidates}
    automatic = [Automatic(f"inputs.{name}", look.type, look.reason) for name, look in inferred.items()]
    return {name: Typed(type=look.type) for name, look in inferred.items() if look.type != "ignore"}, automatic


def _told_from(
    output: Typed, spec: Spec, table: Table, inputs: dict[str, Typed], automatic: list[Automatic]
) -> tuple[dict[str, Typed], list[Automatic]]:
    """The one input of an output that is told from a single one; all inputs of any other."""
    wanted = columns.kind(output.type, "output").reads
    if wanted is None:
        return inputs, automatic
    given = {name for name, column in (spec.inputs or {}).items() if typed(column).type != "ignore"}
    if given:
        fitting = [name for name, column in inputs.items() if column.type == wanted]
        fitting = fitting if len(fitting) == len(inputs) else []
    else:
        seen = [choice.key.removeprefix("inputs.") for choice in automatic]
        lists = [name for name in seen if infer.holds_words(table.values[name])]
        fitting = lists or [name for name, column in inputs.items() if column.type == wanted]
    if len(fitting) != 1:
        found = ", ".join(f"{name} ({column.type})" for name, column in inputs.items()) or "none"
        allowed = f"one input of type {wanted}: {output.type} are told from it alone"
        raise problem("inputs", f"found {found}", allowed, f"name it: inputs: {{column: {wanted}}}")
    (name,) = fitting
    if given:
        return inputs, automatic
    why = f"{output.type} are told from one {wanted}"
    others = [
        Automatic(choice.key, "ignore", why)
        for choice in automatic
        if choice.key.startswith("inputs.") and choice.key != f"inputs.{name}"
    ]
    return {name: Typed(type=wanted)}, [Automatic(f"inputs.{name}", wanted, why), *others]


def _output(spec: Spec, table: Table) -> tuple[Typed, list[Automatic]]:
    where = f"output.{spec.output_name}"
    if spec.output_type is not None:
        asked = spec.output_type.model_copy(update={"type": columns.answered(spec.output_type.type, where)})
        _check_kind(asked.type, OutputColumn, where)
        if columns.kind(asked.type, where).gallery:
            return _of_entries(where, asked, table.values.get(spec.output_name, ()))
        return with_names(where, asked, table.values.get(spec.output_name, ()))
    look = infer_output.output_type(spec.output_name, table.values[spec.output_name])
    output, automatic = with_names(where, Typed(type=look.type), table.values[spec.output_name])
    return output, [Automatic(where, columns.word(look.type), look.reason), *automatic]


def _of_entries(where: str, output: Typed, values: Sequence[Any]) -> tuple[Typed, list[Automatic]]:
    """The output with the type of the entries of its gallery, where it is not said what they are."""
    if output.options.get("of") is not None:
        return output, []
    look = infer.input_type(where.partition(".")[2], values)
    if look.type not in columns.types_of(InputColumn):
        do = f"name it: output: {{{where.partition('.')[2]}: {{type: {output.type}, of: text}}}}"
        raise problem(where, f"what its entries are cannot be told ({look.reason})", "a type of inputs", do)
    told = Typed.model_validate({**output.model_dump(exclude_unset=True), "of": look.type})
    return told, [Automatic(f"{where}.of", look.type, look.reason)]


def with_names(where: str, output: Typed, values: Sequence[Any]) -> tuple[Typed, list[Automatic]]:
    """The output with the words for "no value" that are names in it, where it is not said which are."""
    if output.options.get("not_missing") is not None:
        return output, []
    words = columns.kind(output.type, where).words_kept(values, output.options)
    if not words:
        return output, []
    cells = sum(isinstance(value, str) and value.strip() in words for value in values)
    often = f"in {cells:,} of {len(values):,} cells" if cells else "in lists"
    reason = (
        "named among the classes"
        if output.options.get("classes") or output.options.get("levels")
        else f"{', '.join(words)} {'stands' if len(words) == 1 else 'stand'} {often}: taken for "
        f"{'a name' if len(words) == 1 else 'names'}, not for `no value`; not_missing: [] sets such rows aside"
    )
    named = Typed.model_validate({**output.model_dump(exclude_unset=True), "not_missing": list(words)})
    return named, [Automatic(f"{where}.not_missing", list(words), reason)]


def _sources(spec: Spec) -> tuple[str, ...]:
    """The columns that the user named for an output of several: `{tasks: {type: labels, columns: [a, b]}}`."""
    named = spec.output_type.options.get("columns") if spec.output_type else None
    if isinstance(named, str):  # what the output's type refuses
        raise problem(f"output.{spec.output_name}.columns", f"found {named!r}", f"a list of columns: [{named}]")
    return tuple(map(str, named)) if isinstance(named, (list, tuple)) else ()


def _user(spec: Spec) -> str | None:
    """The user column of an answer to events."""
    output = spec.output_type
    named = output.options.get("user") if output and columns.kind(output.type, "output").events else None
    return str(named) if named else None


def _check_kind(type_name: str, wanted: type, where: str) -> None:
    if not issubclass(columns.kind(type_name, where), wanted):
        role = "inputs" if wanted is InputColumn else "outputs"
        names = columns.types_of(wanted)
        words = names if wanted is InputColumn else sorted(map(columns.word, names))
        allowed = f"the types of {role} are {', '.join(words)}"
        raise problem(where, f"a column of type {type_name!r} cannot stand here", allowed)


def _duplicates(wanted: Clean, has_text: bool) -> tuple[bool, list[Automatic]]:
    """Whether equal rows are dropped. Without text they may be equal by chance: then only when the user says so."""
    if wanted.duplicates == "drop" and not has_text and "duplicates" not in wanted.model_fields_set:
        reason = "rows without text can be equal by chance: they are kept, and equal rows share a split"
        return False, [Automatic("clean.duplicates", "keep", reason)]
    return wanted.duplicates == "drop", []


def check_test(spec: Spec, test: Table, roles: Roles) -> None:
    """Raises TrimtabError when the test file lacks a column that is needed."""
    of_the_cut = set(roles.strategy.columns) - {*spec.keep, spec.weight}
    missing = [name for name in roles.needed if name not in test.values and name not in of_the_cut]
    if missing:
        listed = ", ".join(repr(name) for name in missing)
        raise problem(f"test: {spec.test}", f"no column named {listed}", f"the columns are {', '.join(test.values)}")
