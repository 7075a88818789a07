"""Text is written token by token: an encoder reads once, a decoder takes one step after the other.

The graphs of such a bundle, all float32 but for the ids:

- `encode`, where there is an encoder. Inputs: the tensors of the input columns. Outputs: `memory_mask` (B, 1, 1, T),
  added to the scores of attention, 0 or the least float; for each decoder layer i `cross_k_i`, `cross_v_i`
  (B, heads, T, head), projected.
- `step`. Inputs: `ids` (B, S) int64; `positions` (B, S) int64, counted from 0 at a row's first token; `mask`
  (B, 1, S, P + S), added as above; `picked` (B, K) int64, the places within S whose logits are wanted; for each layer
  `past_k_i`, `past_v_i` (B, kv_heads, P, head), where P may be 0; with an encoder `memory_mask`, `cross_k_i`,
  `cross_v_i`. Outputs: `logits` (B, K, V); `present_k_i`, `present_v_i` (B, kv_heads, P + S, head).

Rows are filled up on the left, so that all of them write at the same place. What is written of a row is `Named`:
`ids` (Ragged, int64 (tokens, 1)), with the id that ended it where it ended by itself; `scores` (Ragged, float32
(tokens, 1)), the log-probability of each; and, where there are texts that end an answer (`stop`), `kept` (rows, 1)
int64: how many characters of the text of all ids stand before one of them, -1 for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from trimtab import part_options
from trimtab.columns import EncodedRows, Named, Ragged, length_batches, ragged, taken
from trimtab.programs import Begun, Decoding, Graphs, Program, Ran, Said, Writer
from trimtab.programs._cache import Cache
from trimtab.programs._choosing import log_totals
from trimtab.programs._options import Options

ENCODE, STEP = "encode", "step"
IDS, SCORES, KEPT = "ids", "scores", "kept"  # of `Ran.outputs`
_PLACES = 128  # of a batch: rows, or beams of rows, that are written together
_BYTES = 500_000_000  # of keys and values of all of them
_AT_ONCE = 4  # so often are rows let in while that many are written: each time costs a copy of the others
_COPIED = 2048  # places of rows that are held for choices to be weighed side by side
_SCORED = 512  # tokens whose logits are held at a time


class StepwiseProgram(Program):
    """An encoder, where there is one, and a decoder that is asked for one token after the other."""

    takes: ClassVar[type[part_options.Options]] = Options
    graphs: ClassVar[tuple[str, ...]] = (STEP,)  # and `encode`, where the bundle has it

    options: Options

    @property
    def writes(self) -> bool:
        """Not where answers that are given are weighed."""
        return not self.options.choices

    def decoding(self, options: Mapping[str, Any]) -> Self:
        """See `Program.decoding`."""
        if not self.writes:
            return super().decoding(options)
        chosen = self.options.model_dump(include=set(Decoding.model_fields)) | dict(options)
        checked = part_options.check(Decoding, "decoding", chosen)
        return replace(self, options=self.options.model_copy(update=checked.model_dump()))

    # ---------------------------------------------------------------------------------------------------- writing

    def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
        """What is written of each row; with `choices` their log-probabilities instead, (rows, choices) float32."""
        if self.options.choices:
            return Ran(self.chosen(graphs, rows, self.options.choices))
        # Equal rows are written once: their answers are the same, drawn ones too.
        _, first, same = np.unique(
            [_seed(rows, row) for row in range(len(rows))], return_index=True, return_inverse=True
        )
        if len(first) == len(rows):
            return Ran(self.gathered(self.stream(graphs, rows), len(rows)))
        found = self.gathered(self.stream(graphs, rows.take(first)), len(first))
        return Ran(Named({name: taken(part, same) for name, part in found.parts.items()}))

    def gathered(self, said: Iterable[Said], rows: int) -> Named:
        """See `Program.gathered`."""
        ids: list[list[int]] = [[] for _ in range(rows)]
        scores: list[list[float]] = [[] for _ in range(rows)]
        kept = np.full((rows, 1), -1, np.int64)
        for one in said:
            row = _place(one)
            ids[row] += one.ids
            scores[row] += one.scores
            kept[row] = one.kept if one.end else -1
        parts: dict[str, Ragged | np.ndarray] = {
            IDS: ragged([np.array(row, np.int64)[:, None] for row in ids], np.zeros((0, 1), np.int64)),
            SCORES: ragged([np.array(row, np.float32)[:, None] for row in scores], np.zeros((0, 1), np.float32)),
        }
        return Named(parts | ({KEPT: kept} if self.options.stop else {}))

    def stream(self, graphs: Graphs, rows: EncodedRows) -> Iterator[Said]:
        """What is said of the rows, whose key is their place, as it is written; with beams an answer as a whole."""
        return self._written(graphs, rows, self.writer(graphs))

    def _written(self, graphs: Graphs, rows: EncodedRows, writer: Writer) -> Iterator[Said]:
        """Rows are let in as others are done, those of like length together."""
        beams = self.options.beams
        waiting = self._batches(graphs, rows, max(1, _PLACES // _AT_ONCE // beams))
        costs = self.costs(graphs, rows) + self.options.longest
        while waiting or len(writer):
            while waiting and (not len(writer) or self._fits(writer, beams * costs[waiting[0]])):
                places = waiting.pop(0)
                writer.add(self.begun(graphs, rows, places), places.tolist(), [self.options] * len(places))
            yield from writer.step()

    def _fits(self, writer: Writer, tokens: np.ndarray) -> bool:
        """Whether more rows may be written beside those that are: tokens of each, its beams counted."""
        places = writer.places + len(tokens) * self.options.beams
        return places <= _PLACES and writer.tokens + int(tokens.sum()) <= self.most_tokens

    @property
    def most_tokens(self) -> int:
        """See `Program.most_tokens`."""
        numbers = 2 * self.options.layers * self.options.kv_heads * self.options.head_size
        return _BYTES // (4 * numbers)

    def writer(self, graphs: Graphs) -> Writer:
        """See `Program.writer`."""
        return self._writer(graphs)

    def _writer(self, graphs: Graphs, margins: bool = False) -> Writer:
        step = graphs[STEP]
        made = self.options
        opening = made.prompt.opening if made.rolls and made.prompt else None
        return Writer(step, frozenset(made.eos), made.context, step.text, margins, opening, made.first, made.never)

    def settled(self, graphs: Graphs, rows: EncodedRows, tolerance: float) -> np.ndarray:
        """Rows of which nothing else was nearly as likely as what was written, (rows,)."""
        margins = np.full(len(rows), np.inf)
        if not self.options.choices:
            for said in self._written(graphs, rows, self._writer(graphs, margins=True)):
                margins[_place(said)] = min(margins[_place(said)], said.margin)
        return np.asarray(margins > tolerance)

    # ---------------------------------------------------------------------------------------------------- prompts

    def begun(self, graphs: Graphs, rows: EncodedRows, picked: np.ndarray) -> Begun:
        """See `Program.begun`."""
        made = self.options
        seeds = [_seed(rows, row) for row in picked.tolist()]
        if ENCODE in graphs:
            memory = graphs[ENCODE].run(rows.batch(picked))
            cache = Cache.empty(memory, len(picked), made.layers, made.kv_heads, made.head_size)
            ones = np.ones(len(picked), np.int64)
            return Begun(cache, made.bos * ones, ones, rows.steps[picked], seeds)
        prompts = self._prompts(rows, picked)
        lengths = np.array([len(prompt) for prompt in prompts])
        cache = Cache.empty({}, len(picked), made.layers, made.kv_heads, made.head_size)
        width = int(lengths.max()) - 1
        if width:
            ids = np.full((len(prompts), width), made.pad)
            for row, prompt in enumerate(prompts):
                ids[row, width - len(prompt) + 1 :] = prompt[:-1]
            cache = replace(cache, starts=width + 1 - lengths)
            _, cache = cache.read(graphs[STEP], ids, np.full((len(ids), 1), width - 1))
        return Begun(cache, np.array([prompt[-1] for prompt in prompts]), lengths, lengths, seeds)

    def turns(self, rows: EncodedRows, answers: Sequence[Sequence[int]]) -> EncodedRows:
        """See `Program.turns`: a column that is read in a prompt says all of it, the words of the prompt in between."""
        made = self.options.prompt
        if made is None or not made.between or len(rows.columns) != 1 or made.pieces.count(rows.columns[0].key) != 1:
            return super().turns(rows, answers)
        (encoded,), place = rows.encoded, made.pieces.index(rows.columns[0].key)
        before, behind = (
            [one for piece in part for one in piece] for part in (made.pieces[:place], made.pieces[place + 1 :])
        )
        assert isinstance(encoded, Ragged)
        said = encoded[0].tolist()
        for number, answer in enumerate(answers, 1):
            said += [*behind, *answer, *made.between, *before, *encoded[number].tolist()]
        joined = replace(rows.take(np.array([0])), encoded=(ragged([np.array(said, np.int64)], np.zeros(0, np.int64)),))
        return replace(joined, steps=np.array([len(said)], np.int64))

    def _prompts(self, rows: EncodedRows, picked: np.ndarray) -> list[np.ndarray]:
        """The ids that each row begins with: those of its columns between those that are the same for all rows."""
        made, most = self.options.prompt, self.options.context
        if made is None:
            return [np.array([self.options.bos])] * len(picked)
        columns = {column.key: encoded for column, encoded in zip(rows.columns, rows.encoded, strict=True)}
        asked = ({key: columns[key][row].tolist() for key in made.keys} for row in picked.tolist())
        return [np.array(made.of(row)[-(most or 0) :] or [self.options.bos], np.int64) for row in asked]

    def costs(self, graphs: Graphs, rows: EncodedRows) -> np.ndarray:
        """See `Program.costs`: a prompt may be far longer than the columns of its row."""
        if ENCODE in graphs:
            return rows.costs
        return np.array([len(prompt) for prompt in self._prompts(rows, np.arange(len(rows)))], np.int64)

    def _batches(self, graphs: Graphs, rows: EncodedRows, most: int) -> list[np.ndarray]:
        """Rows that are read together, at most so many."""
        batches = graphs[ENCODE if ENCODE in graphs else STEP].batches(self.costs(graphs, rows))
        return [batch[start : start + most] for batch in batches for start in range(0, len(batch), most)]

    # ---------------------------------------------------------------------------------------------------- scoring

    def scored(self, graphs: Graphs, rows: EncodedRows, targets: Ragged) -> Ragged:
        """See `Program.scored`."""
        found = np.zeros((len(targets.values), 1), np.float32)
        reads = graphs[ENCODE if ENCODE in graphs else STEP]
        lengths = np.maximum(targets.lengths, 1)
        for batch in reads.batches(self.costs(graphs, rows) + lengths):
            for part in length_batches(lengths[batch], _SCORED):
                picked = batch[part]
                scores = self._read(
                    graphs, self.begun(graphs, rows, picked), [targets[row].reshape(-1) for row in picked]
                )
                for row, own in zip(picked.tolist(), scores, strict=True):
                    found[targets.offsets[row] : targets.offsets[row + 1], 0] = own
        return Ragged(found, targets.offsets)

    def chosen(self, graphs: Graphs, rows: EncodedRows, choices: Sequence[Sequence[int]]) -> np.ndarray:
        """The log-probability of each of some answers to every row, (rows, choices) float32.

        With `choices_per_token` the mean of its tokens, so that long names are not at a disadvantage.
        """
        listed = [np.asarray(choice, np.int64) for choice in choices]
        found = np.zeros((len(rows), len(listed)), np.float32)
        longest = max(map(len, listed))
        for batch in self._batches(graphs, rows, max(1, _SCORED // longest)):
            begun = self.begun(graphs, rows, batch)
            copies = max(1, _COPIED // max(1, begun.cache.places * len(batch)))  # of what was read of each row
            for part in length_batches(np.array([len(choice) for choice in listed]), _SCORED, copies):
                each, which = np.repeat(np.arange(len(batch)), len(part)), np.tile(part, len(batch))
                scores = self._read(graphs, begun.take(each), [listed[place] for place in which])
                summed = [own.mean() if self.options.choices_per_token else own.sum() for own in scores]
                found[batch[each], which] = summed
        return found

    def _read(self, graphs: Graphs, begun: Begun, answers: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The log-probability of each token of one answer to each row."""
        width = max(1, *map(len, answers))
        ids = np.full((len(answers), width), self.options.pad)
        ids[:, 0] = begun.last
        following = np.full((len(answers), width), self.options.pad)
        for row, answer in enumerate(answers):
            ids[row, 1 : len(answer)] = answer[:-1]
            following[row, : len(answer)] = answer
        every = np.broadcast_to(np.arange(width), ids.shape)
        logits, _ = begun.cache.read(graphs[STEP], ids, np.ascontiguousarray(every))
        scores = np.take_along_axis(logits, following[..., None], axis=2)[..., 0] - log_totals(logits)
        return [own[: len(answer)] for own, answer in zip(scores, answers, strict=True)]


def _place(said: Said) -> int:
    assert isinstance(said.key, int)
    return said.key


def _seed(rows: EncodedRows, row: int) -> int:
    """What a row says, as a number: what is drawn for it is the same beside whatever rows."""
    said = hashlib.blake2b(digest_size=8)
    for encoded in rows.encoded:
        said.update(np.asarray(encoded[row], np.float64).tobytes())
        said.update(b"|")
    return int.from_bytes(said.digest(), "big")
