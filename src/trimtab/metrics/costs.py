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
        "throughput", "Throughput", "rows answered in a second, over the test rows", "higher", unit="rows/s", tile=True
    ),
    Metric("memory", "Memory", "resident memory of a process that has answered", "lower", unit="MB", tile=True),
    Metric("memory_peak", "Memory, peak", "highest, while it loads or answers", "lower", unit="MB", gate=False),
    Metric(
        "drop", "Drop", "quality lost against the uncompressed network on the same rows, in the metric that the card "
        "tells first: in points, `<= 1%` of accuracy; of an error in units of its own, such as RMSE, as a part of it",
        "lower", share=True, compared=True, of_making=True,
    ),
)  # fmt: skip
