"""What a bundle costs to serve, measured on this machine, and the quality that making it smaller cost."""

from __future__ import annotations

from trimtab.metrics import Metric

METRICS = (
    Metric("size", "Size", "bytes on disk of what serving needs", "lower", unit="MB", tile=True),
    Metric(
        "latency", "Latency", "median time of one row through the runtime, tokenising included", "lower", unit="ms",
        tile=True,
    ),
    Metric("latency_p95", "Latency, p95", "95th percentile of the same: 19 of 20 rows take less", "lower", unit="ms"),
    Metric(
        "latency_p99", "Latency, p99", "99th percentile of the same: 99 of 100 rows take less", "lower", unit="ms",
        checked=True,
    ),
    Metric(
        "throughput", "Throughput", "rows answered in a second, over the test rows", "higher", unit="rows/s", tile=True
    ),
    Metric("memory", "Memory", "resident memory of a process that has answered", "lower", unit="MB", tile=True),
    Metric("memory_peak", "Memory, peak", "highest, while it loads or answers", "lower", unit="MB", gate=False),
    Metric(
        "cold_start", "Cold start", "from the start of a process to its first answer: imports, files, golden rows",
        "lower", unit="ms", checked=True,
    ),
    Metric(
        "price", "Price", "of a million answers, in the currency of the spec's `cost`, at the utilisation that it says",
        "lower", unit="per million", checked=True, needs="cost",
    ),
    Metric(
        "energy", "Energy, estimated", "of a million answers: cores times an assumed power for the time that they take",
        "lower", unit="Wh per million", checked=True, needs="cost", gate=False,
    ),
    Metric(
        "drop", "Drop", "quality lost against the uncompressed network on the same rows, in the metric that the card "
        "tells first: in points, `<= 1%` of accuracy; of an error in units of its own, such as RMSE, as a part of it",
        "lower", share=True, compared=True, of_making=True,
    ),
)  # fmt: skip
