"""Entries of a log, or rows of a file, followed in their order: what moved, since when, how sure that is."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from trimtab.columns import OUTPUTS
from trimtab.values import many
from trimtab.watch import accuracy, baseline, classifier, distances
from trimtab.watch.baseline import FEWEST, Baseline, Feature
from trimtab.watch.classifier import MARKS, Classifier
from trimtab.watch.evidence import Evidence
from trimtab.watch.health import MOST_ERRORS, Health
from trimtab.watch.log import Entry, Kept, Log
from trimtab.watch.report import Accuracy, ClassShare, Gauge, Hour, Movement, Report
from trimtab.watch.sketch import kinds, stacked
from trimtab.watch.subject import CLASSIFIER, Subject

ALPHA = 0.01  # chance that a stream in which nothing moves ever raises an alarm
LEAST = 0.02  # population stability index below which a move is too small to matter
OWN_BASELINE = 500  # entries of a log that make the baseline of a bundle without one
_RECENT = 1000  # rows that are described where nothing moved
_PORTION = 2000  # entries that are taken at a time
_NO_BASELINE = (
    "the bundle says nothing of rows that it did not learn from (an earlier Trimtab made it, or reference.npz is not "
    f"there), and no --baseline FILE was given: held against the log's own first {OWN_BASELINE} answers"
)
_TOLD_SHARES = 3  # counts of tokens of each column that are told of
_SHARES = 0.5  # of what a column may raise false alarms with, on its counts of tokens


@dataclass
class Watcher:
    """Follows the entries of one bundle. What it says does not depend on how often it is asked."""

    subject: Subject
    baseline: Baseline | None = None
    alpha: float = ALPHA
    least: float = LEAST
    most_errors: float = MOST_ERRORS
    rows: int = 0  # answered ones that were sketched
    bare: int = 0  # answered ones without a sketch
    place: int = 0  # of the last entry in its log
    label_place: int = 0  # and of the last label

    def __post_init__(self) -> None:
        self.health = Health(self.subject, None, self.alpha, self.most_errors)
        self.hours: dict[int, Hour] = {}
        self._times = array("d")
        self._ends: list[float] = []
        self._first: list[Entry] = []  # that are to make the baseline
        self._right: dict[str, bool] = {}  # whether the answer was right, by the entry's id; the last label counts
        self._classifiers: list[Classifier] = []
        self._recent = np.zeros((0, 0), np.uint8)
        self._evidence: Evidence | None = None
        self.borrowed = self.baseline is None and self.subject.baseline is None
        found = self.baseline or self.subject.baseline
        if found is not None:
            self._hold_against(found)

    def follow(self, log: Log) -> None:
        """Take what was written to a log since the last time, labels of entries that were taken before too."""
        hash, column = self.subject.hash, self.subject.output.name
        self.add(log.read(hash, None, self.place))
        for place, kept in log.labelled(hash, column, self.label_place):
            self.label_place = place
            if kept.entry.error is None:
                self._check(kept.entry, kept.label)

    def add(self, entries: Iterable[Kept]) -> None:
        """More entries, in their order."""
        iterator = iter(entries)
        while portion := list(islice(iterator, _PORTION)):
            for kept in portion:
                self._note(kept)
            self.place = portion[-1].place
            self._look([kept.entry for kept in portion if kept.entry.error is None])

    def report(self) -> Report:
        """What is known by now."""
        movements = tuple(self._movements())
        since = min((one.since or 0 for one in movements if one.alarm), default=max(0, self.rows - _RECENT))
        first, last = self._ends or (None, None)
        untold, hours = tuple(self._untold()), tuple(sorted(self.hours.items()))
        name, hash = self.subject.name, self.subject.hash
        told = (movements, self._accuracy(since), tuple(self.health.findings()), untold, hours)
        return Report(name, hash, self.health.answers, first, last, self.alpha, *told)

    def gauges(self) -> list[Gauge]:
        """Figures for a scraper, quickly made: how near each column is to an alarm (from 1 on it is one), health."""
        found = [
            Gauge("trimtab_watched_rows", {}, self.rows),
            Gauge("trimtab_watched_errors", {}, self.health.errors),
            Gauge("trimtab_unhealthy", {}, sum(not one.well for one in self.health.findings())),
        ]
        if self._evidence is None:
            return found
        near = self._evidence.log_most / self._evidence.log_needed
        columns = [self.subject.column_name(feature) for feature in self._known.features]
        most = {name: float(max(n for n, c in zip(near, columns, strict=True) if c == name)) for name in set(columns)}
        if self._classifiers:
            most[CLASSIFIER] = max(
                float(one.evidence.log_most[0] / one.evidence.log_needed[0]) for one in self._classifiers
            )
        found += [Gauge("trimtab_drift_evidence", {"column": name}, value) for name, value in sorted(most.items())]
        right = self._accuracy(max(0, self.rows - _RECENT))
        if right.measured is not None:
            found.append(Gauge("trimtab_accuracy", {}, right.measured.value))
        if right.estimated is not None:
            found.append(Gauge("trimtab_estimated_accuracy", {}, right.estimated))
        return found

    # ------------------------------------------------------------------------------------------------------ taking

    def _note(self, kept: Kept) -> None:
        entry = kept.entry
        self.health.add(entry)
        if math.isfinite(entry.time):
            ends = self._ends or [entry.time, entry.time]
            self._ends = [min(ends[0], entry.time), max(ends[1], entry.time)]
            hour = self.hours.setdefault(int(entry.time // 3600), Hour())
            _add_to(hour, entry, entry.sketch.get(f"{OUTPUTS}.{self.subject.output.name}"))
        if kept.labelled and entry.error is None:
            self._check(entry, kept.label)

    def _check(self, entry: Entry, label: Any) -> None:
        truth = baseline.classes_of(self.subject.output, [label])
        answer = entry.sketch.get(f"{OUTPUTS}.{self.subject.output.name}")
        if truth is None or type(answer) is not int or answer < 0:
            return
        if truth[0] >= 0 or not many.missing([label])[0]:  # a class that was never learnt is answered wrong
            self._right[entry.id] = bool(truth[0] == answer)

    def _look(self, entries: Sequence[Entry]) -> None:
        sketched = [entry for entry in entries if entry.sketch]
        self.bare += len(entries) - len(sketched)
        if self._evidence is None:
            self._first += sketched
            if len(self._first) < OWN_BASELINE:
                return
            made, sketched = self._first[:OWN_BASELINE], self._first[OWN_BASELINE:]
            self._first = []
            sketches = [entry.sketch for entry in made]
            self._hold_against(baseline.fitted(stacked(sketches, kinds(sketches)), len(made)))
        if sketched:
            self._times.extend(entry.time for entry in sketched)
            wanted = {feature.name: feature.kind for feature in self._known.features}
            self._add(self._known.bins_of(stacked([entry.sketch for entry in sketched], wanted), len(sketched)))

    def _hold_against(self, found: Baseline) -> None:
        self._known = found
        self.health.baseline = found
        self._weights = _weights(found.features, classifier.usable(found))
        needed = np.log(1 / (self.alpha * np.maximum(self._weights, 1e-12)))
        self._evidence = Evidence(found.counts.astype(float), found.sizes, needed)
        self._recent = np.zeros((0, len(found.features)), np.uint8)

    def _add(self, binned: np.ndarray) -> None:
        """Rows, (rows, features), cut where a classifier learns from those before."""
        assert self._evidence is not None
        while len(binned):
            ahead = [mark - self.rows for mark in MARKS if mark > self.rows]
            part, binned = (binned[: ahead[0]], binned[ahead[0] :]) if ahead else (binned, binned[:0])
            self._evidence.add(part)
            for known in self._classifiers:
                known.add(part)
            self._recent = np.concatenate([self._recent, part])[-_RECENT:]
            self.rows += len(part)
            if self.rows in MARKS and classifier.usable(self._known):
                alpha = self.alpha * _classifier_share(self._known.features)
                made = classifier.learnt(self._known, self._recent, self.rows, len(self._classifiers), alpha)
                self._classifiers.append(made)

    # ------------------------------------------------------------------------------------------------------ telling

    def _movements(self) -> Iterator[Movement]:
        """Every feature, but of counts of tokens those alone that moved; the most certain first."""
        if self._evidence is None:
            return
        found = [*self._of_features(self._evidence), *self._of_classifiers()]
        yield from sorted(found, key=lambda one: (not one.alarm, one.chance, -one.psi))

    def _of_features(self, evidence: Evidence) -> Iterator[Movement]:
        known = self._known
        spans = [self._span(evidence, place) for place in range(len(known.features))]
        counts = {start: evidence.counts_since(start) for start in set(spans)}
        nows = [counts[start][place] for place, start in enumerate(spans)]
        tests = [_tested(f, known.counts[i], nows[i]) for i, f in enumerate(known.features)]
        p_values = distances.holm(np.array([found[2] for found in tests]))
        for place in self._told_of(evidence):
            feature = known.features[place]
            before, now = known.counts[place, : feature.bins], nows[place][: feature.bins]
            moved = distances.psi(before, now) if now.sum() else 0.0
            sure = bool(evidence.crossed[place])
            start = int(evidence.start[place]) if sure else None
            yield Movement(
                self.subject.column_name(feature),
                self.subject.words(feature),
                sure and moved >= self.least,
                float(min(1.0, self.alpha * np.exp(evidence.log_needed[place] - evidence.log_most[place]))),
                start,
                self._time(start),
                int(evidence.crossed[place]) if sure else None,
                moved,
                *tests[place][:2],
                float(p_values[place]),
                self._change(feature, before, now),
            )

    def _told_of(self, evidence: Evidence) -> Iterator[int]:
        """The places of all features, but of counts in each column only those few that moved most surely."""
        shares: dict[str, list[int]] = {}
        for place, feature in enumerate(self._known.features):
            if feature.kind != "share":
                yield place
            elif evidence.crossed[place]:
                shares.setdefault(feature.column, []).append(place)
        ahead = evidence.log_most - evidence.log_needed
        for places in shares.values():
            yield from sorted(places, key=lambda place: -ahead[place])[:_TOLD_SHARES]

    def _span(self, evidence: Evidence, place: int) -> int:
        """The first of the rows that a feature is described by: since it moved, else the recent ones."""
        return int(evidence.start[place]) if evidence.crossed[place] else max(0, self.rows - _RECENT)

    def _of_classifiers(self) -> Iterator[Movement]:
        if not self._classifiers:
            return
        alpha = self.alpha * _classifier_share(self._known.features)
        most = [float(one.evidence.log_most[0] - one.evidence.log_needed[0]) for one in self._classifiers]
        best = int(np.argmax(most))
        found = self._classifiers[best]
        sure = [one.start + int(one.evidence.crossed[0]) for one in self._classifiers if one.evidence.crossed[0]]
        before = found.evidence.pool[0]
        inside = int(found.evidence.start[0])  # a change before the classifier began may be one that it learnt from
        now = found.evidence.counts_since(inside)[0]
        begun = found.start + inside if inside else max(0, found.start - _RECENT)
        start = begun if sure else None
        moved = distances.psi(before, now) if now.sum() else 0.0
        told = f"a classifier tells new rows from old ones, AUROC {max(found.auroc, 1 - found.auroc):.2f}"
        chance = min(1.0, self.alpha * math.exp(-min(700.0, most[best]))) if alpha else 1.0
        statistic, p_value = distances.ks(before, now)
        sure_moved = bool(sure) and moved >= self.least
        ends = (start, self._time(start), min(sure) if sure else None)
        yield Movement(CLASSIFIER, "two-sample test", sure_moved, chance, *ends, moved, "KS", statistic, p_value, told)

    def _change(self, feature: Feature, before: np.ndarray, now: np.ndarray) -> str:
        """The bin whose share changed most."""
        if not now.sum() or not before.sum():
            return ""
        first, second = before / before.sum(), now / now.sum()
        place = int(np.argmax(np.abs(second - first)))
        return f"{self.subject.bin_words(feature, place)}: {first[place]:.1%} -> {second[place]:.1%}"

    def _time(self, row: int | None) -> float | None:
        """When a row was answered; None where that is not known."""
        found = math.nan if row is None or not len(self._times) else self._times[min(row, len(self._times) - 1)]
        return found if math.isfinite(found) else None

    def _accuracy(self, since: int) -> Accuracy:
        measured = accuracy.sequence(sum(self._right.values()), len(self._right), self.alpha) if self._right else None
        target, word = self._target()
        if self._evidence is None:
            return Accuracy(measured, target, word, None, ())
        counts = self._evidence.counts_since(since)
        sure = self._known.place(f"{OUTPUTS}.confidence")
        estimated = None if sure is None else accuracy.estimated(self._known.right, counts[sure])
        return Accuracy(measured, target, word, estimated, tuple(self._classes(counts)))

    def _target(self) -> tuple[float | None, str]:
        gates = [gate for gate in self.subject.gates if gate.name == "accuracy"]
        if gates:
            return gates[0].bound, "the bundle's gate is"
        found = self.subject.measured.get("accuracy")
        if found is None:
            return None, ""
        return (found.value if found.low is None else found.low), "its audit found at least"

    def _classes(self, counts: np.ndarray) -> Iterator[ClassShare]:
        """Shares of answers, and of true classes as far as the baseline's confusion tells."""
        place = self._known.place(f"{OUTPUTS}.{self.subject.output.name}")
        if place is None or self._known.features[place].kind != "id" or not counts[place].sum():
            return
        feature, size = self._known.features[place], len(self.subject.output.classes)
        before, now = self._known.counts[place], counts[place]
        by_class = np.zeros(size)
        for position, id in enumerate(feature.ids):
            if id >= 0:
                by_class[id] = now[position]
        true = accuracy.class_shares(self._known.confusion, by_class) if size == len(self._known.confusion) else None
        for position, id in enumerate(feature.ids):
            share = None if true is None or id < 0 else float(true[id])
            parts = (float(before[position] / before.sum()), float(now[position] / now.sum()))
            yield ClassShare(self.subject.bin_words(feature, position), *parts, share)

    def _untold(self) -> Iterator[str]:
        if self.borrowed:
            few = self._evidence is None
            yield _NO_BASELINE + (", of which there are not that many yet: drift cannot be told" if few else "")
        elif self._known.rows < FEWEST:
            yield f"drift: the baseline has {self._known.rows} rows, with which little can be told"
        if self.bare:
            yield f"drift of {self.bare:,} answers: the log holds no sketch of them"
        if not self.borrowed and not classifier.usable(self._known):
            yield "the classifier two-sample test: the baseline keeps no rows (`quotes: none`, or there were too few)"
        if self._evidence is not None and not len(self._known.right):
            yield "accuracy without labels: an answer is no class with a confidence, or the baseline had no labels"


def _tested(feature: Feature, before: np.ndarray, now: np.ndarray) -> tuple[str, float, float]:
    """The classical test of one look: its name, its statistic, its p-value."""
    if feature.kind == "id":
        return ("chi-square", *distances.chi_square(before[: feature.bins], now[: feature.bins]))
    there = feature.bins - 1  # the bin of those that are missing stands in no order
    return ("KS", *distances.ks(before[:there], now[:there]))


def _classifier_share(features: Sequence[Feature]) -> float:
    return 1 / (len({feature.column for feature in features}) + 1)


def _weights(features: Sequence[Feature], classified: bool) -> np.ndarray:
    """What each feature may spend of the chance of a false alarm: every column the same, half of it on its counts."""
    columns = {feature.column for feature in features}
    found = np.zeros(len(features))
    for column in columns:
        own = np.array([feature.column == column for feature in features])
        shares = np.array([feature.kind == "share" for feature in features]) & own
        plain = own & ~shares
        part = 1 / (len(columns) + classified)
        for some, other in ((plain, shares), (shares, plain)):
            if some.any():
                found[some] = part * (_SHARES if other.any() else 1.0) / some.sum()
    return found


def _add_to(hour: Hour, entry: Entry, answer: Any) -> None:
    if entry.error is not None:
        hour.errors += 1
        return
    hour.answers += 1
    hour.milliseconds += entry.milliseconds
    if entry.confidence is not None:
        hour.confidence += entry.confidence
        hour.sure += 1
    if type(answer) is int:
        hour.classes[answer] = hour.classes.get(answer, 0) + 1
