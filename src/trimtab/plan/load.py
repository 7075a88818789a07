"""What a load takes of a bundle: machines, memory, money, energy; of what its audit measured. Needs no PyTorch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from trimtab.audit.price import Pricing
from trimtab.bundle import store
from trimtab.errors import problem

_LOAD = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?:(?:rows|requests)?\s*/\s*(?P<unit>s|min|h|day))?")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "day": 86_400}
_HOURS = 730.0  # of a month
_NEEDED = ("throughput", "latency", "memory")


class Replicas(BaseModel):
    """Machines like the one that measured, and what they take."""

    model_config = ConfigDict(frozen=True)

    rows_per_second: float  # that each of them answers, at the utilisation
    replicas: int
    per_hour: float | None = None
    per_month: float | None = None
    per_million: float | None = None
    watt_hours_per_million: float


class LoadEstimate(BaseModel):
    """A load, answered many rows at once (a server puts requests together), and one by one."""

    model_config = ConfigDict(frozen=True)

    bundle: str
    load: float  # rows/s
    utilisation: float
    currency: str
    machine: dict[str, Any]
    memory: float  # MB of a process that serves
    latency: float  # ms of a row alone
    together: Replicas
    one_by_one: Replicas


def rate(text: str) -> float:
    """`500/s`, `30 rows/min`, `2000000/day` as rows in a second. Raises TrimtabError for anything else."""
    said = _LOAD.fullmatch(text.strip().replace(",", "").replace("_", ""))
    if not said or not float(said["number"]):
        raise problem("--load", f"{text!r} is no load", "a number of rows: 500/s, 30/min, 20000/h, 2000000/day")
    return float(said["number"]) / _SECONDS[said["unit"] or "s"]


def estimated(bundle: Path, load: str, price: float | None, utilisation: float | None) -> LoadEstimate:
    """What a load takes; the price of an hour and the utilisation are those of the bundle's spec where none is given.

    Raises TrimtabError for what is no bundle, and for one that was not measured.
    """
    manifest, wanted = store.read_manifest(bundle), rate(load)
    if lacking := [name for name in _NEEDED if name not in manifest.measured]:
        raise problem(str(bundle), f"has no {' and no '.join(lacking)}", do="take a bundle that trimtab launch audited")
    measured = {name: manifest.measured[name].value for name in _NEEDED}
    said: dict[str, Any] = manifest.spec.get("cost") or {}
    hourly = price if price is not None else said.get("machine_per_hour")
    cores = int(manifest.machine.get("cores") or 1)
    pricing = Pricing(
        machine_per_hour=hourly or 0.0,
        currency=said.get("currency", "USD"),
        load=wanted,
        utilisation=utilisation or said.get("utilisation", 0.7),
        watts_per_core=said.get("watts_per_core", 10.0),
    )
    return LoadEstimate(
        bundle=str(bundle),
        load=wanted,
        utilisation=pricing.utilisation,
        currency=pricing.currency,
        machine={name: manifest.machine.get(name) for name in ("cpu", "cores", "memory")},
        memory=measured["memory"],
        latency=measured["latency"],
        together=_replicas(pricing, measured["throughput"], cores, hourly is not None),
        one_by_one=_replicas(
            pricing, min(measured["throughput"], 1000 / measured["latency"]), cores, hourly is not None
        ),
    )


def _replicas(pricing: Pricing, throughput: float, cores: int, priced: bool) -> Replicas:
    count = pricing.replicas(throughput)
    assert count is not None
    assert pricing.load is not None
    hourly = count * pricing.machine_per_hour
    return Replicas(
        rows_per_second=throughput * pricing.utilisation,
        replicas=count,
        per_hour=hourly if priced else None,
        per_month=hourly * _HOURS if priced else None,
        per_million=hourly * 1e6 / (pricing.load * 3600) if priced else None,
        watt_hours_per_million=pricing.energy(throughput, cores),
    )
