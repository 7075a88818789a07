"""Gates: refused early when they cannot be measured, judged by what was measured."""

from __future__ import annotations

import pytest

from trimtab.audit import gates
from trimtab.bundle.manifest import Measured
from trimtab.errors import TrimtabError
from trimtab.spec import parse_gate

CLASSES = ["ham", "spam"]


@pytest.mark.parametrize(
    ("name", "bound", "task", "expected"),
    [
        ("rmse", "<= 2", "label", "gates.rmse: rmse is not measured on a label output"),
        ("accuracy", ">= 0.9", "number", "gates.accuracy: accuracy is not measured on a number output"),
        ("auc", ">= 0.9", "number", "allowed: rmse, mae, r2, forgetting, conformal.coverage"),
        ("recall.spm", ">= 0.9", "label", "no class 'spm'\n  allowed: ham, spam (did you mean 'spam'?)"),
    ],
)  # fmt: skip
def test_a_gate_that_can_never_be_measured_is_refused(name: str, bound: str, task: str, expected: str) -> None:
    with pytest.raises(TrimtabError) as caught:
        gates.check_names([parse_gate(name, bound)], task, CLASSES)
    assert expected in str(caught.value)


def test_all_unfit_gates_are_named_at_once() -> None:
    unfit = [parse_gate("rmse", "<= 2"), parse_gate("size", "<= 9 MB"), parse_gate("recall.eggs", ">= 1")]
    with pytest.raises(TrimtabError, match=r"(?s)2 problems.*rmse.*eggs"):
        gates.check_names(unfit, "label", CLASSES)


@pytest.mark.parametrize("task", ["label", "labels", "number", "numbers", "ordinal", "tags", "ranking"])
def test_the_drop_can_be_asked_of_every_output(task: str) -> None:
    gates.check_names([parse_gate("drop", "<= 1%")], task, CLASSES)
    assert parse_gate("drop", "<= 1%").bound == pytest.approx(0.01)


def test_a_gate_on_a_perturbation_needs_one_that_the_inputs_have() -> None:
    asked = [parse_gate("robustness.typos", ">= 0.9")]
    gates.check_names(asked, "label", CLASSES, {"robustness": ["typos", "spacing"]})
    with pytest.raises(TrimtabError, match=r"(?s)no perturbation 'typos'.*missing_number"):
        gates.check_names(asked, "label", CLASSES, {"robustness": ["missing_number"]})
    with pytest.raises(TrimtabError, match=r"(?s)robustness needs a perturbation.*write robustness.<perturbation>"):
        parse_gate("robustness", ">= 0.9")


def test_gates_that_fit_pass() -> None:
    fitting = [parse_gate("recall.spam", ">= 90%"), parse_gate("auc", ">= 0.9"), parse_gate("latency", "<= 3 ms")]
    gates.check_names(fitting, "label", CLASSES)


@pytest.mark.parametrize(
    ("bound", "value", "met", "reason"),
    [
        (">= 0.9", Measured(value=0.95, low=0.93, high=0.97), True, ""),
        (">= 0.9", Measured(value=0.91, low=0.88, high=0.94), True, "the 95% interval reaches 0.88"),
        (">= 0.9", Measured(value=0.85, low=0.8, high=0.95), False, "missed by 0.05"),
        ("> 0.9", Measured(value=0.9), False, "exactly the bound"),
        (">= 0.9", Measured(value=float("nan")), False, "missed"),
        (">= 0.9", None, False, "could not be measured"),
    ],
)
def test_a_gate_holds_only_when_its_measured_value_does(
    bound: str, value: Measured | None, met: bool, reason: str
) -> None:
    measured = {} if value is None else {"accuracy": value}
    [result] = gates.judge([parse_gate("accuracy", bound)], measured)
    assert result.met is met
    assert result.reason.startswith(reason) if value else reason in result.reason
    assert (result.reason == "") == (reason == "")


def test_results_keep_the_order_and_what_was_asked() -> None:
    asked = [parse_gate("size", "<= 15 MB"), parse_gate("latency", "<= 0.003 s")]
    found = gates.judge(asked, {"latency": Measured(value=2.5, unit="ms"), "size": Measured(value=16.0, unit="MB")})
    assert [(one.name, one.asked, one.measured, one.met) for one in found] == [
        ("size", "<= 15 MB", 16.0, False),
        ("latency", "<= 3 ms", 2.5, True),
    ]


@pytest.mark.parametrize(
    ("bound", "low", "high", "confidence", "met", "reason"),
    [
        (">= 0.9", 0.905, 0.935, 0.95, True, ""),
        (">= 0.9", 0.88, 0.96, 0.95, False, "the 95% interval reaches 0.88: about 300 more test rows would settle it"),
        (">= 0.9", 0.88, 0.96, None, True, "the 95% interval reaches 0.88: about 300 more test rows would settle it"),
        (">= 0.9", 0.895, 0.95, 0.6, True, ""),
        (">= 0.9", 0.905, 0.95, 0.999, False, "the 99.9% interval reaches 0.895"),
        (">= 0.94", 0.9, 0.96, 0.95, False, "missed by 0.02: about 300 more test rows would settle it"),
        (">= 0.97", 0.9, 0.94, 0.95, False, "missed by 0.05"),
        (">= 0.92", 0.9, 0.94, 0.95, False, "the 95% interval reaches 0.9: the value lies so near"),
        ("> 0.9", None, None, 0.95, True, ""),
    ],
)
def test_with_a_confidence_the_whole_interval_must_hold_and_how_many_rows_would_settle_it_is_said(
    bound: str, low: float | None, high: float | None, confidence: float | None, met: bool, reason: str
) -> None:
    measured = {"accuracy": Measured(value=0.92, low=low, high=high)}
    [result] = gates.judge([parse_gate("accuracy", bound)], measured, rows=100, confidence=confidence)
    assert result.met is met
    assert result.reason.startswith(reason)
    assert bool(result.reason) == bool(reason)


def test_less_is_judged_by_its_upper_end_and_a_time_by_the_machine() -> None:
    asked = [parse_gate("log_loss", "<= 0.5"), parse_gate("latency", "<= 3 ms"), parse_gate("size", "<= 3 MB")]
    found = {
        "log_loss": Measured(value=0.4, low=0.3, high=0.6),
        "latency": Measured(value=2.5, unit="ms", low=2.0, high=3.5),
        "size": Measured(value=2.0, unit="MB"),
    }
    results = gates.judge(asked, found, rows=50, confidence=0.95)
    assert [one.met for one in results] == [False, False, True]
    assert "reaches 0.6: about 150 more test rows" in results[0].reason
    assert results[1].reason == "the 95% interval reaches 3.5: a quieter machine would make this surer"
    assert results[2].reason == ""
