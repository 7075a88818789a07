"""What answers cost in money and energy, of what they cost in time: the price of a million, the machines for a load.

Energy is an estimate: cores times an assumed power, without what an idle machine, its memory and its cooling take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from trimtab.bundle.manifest import Measured
from trimtab.spec import Cost, Gate
from trimtab.spec.gates import Operator

PRICE, ENERGY = "per million", "Wh per million"  # units
_MILLION, _HOUR = 1e6, 3600.0
_TURNED: dict[Operator, Operator] = {"<=": ">=", "<": ">"}  # a price is better when lower


@dataclass(frozen=True)
class Pricing:
    """What a machine like the one measured on costs, and how it is used."""

    machine_per_hour: float  # in `currency`
    currency: str
    load: float | None  # rows/s that are to be answered; None: not said
    utilisation: float  # share of the throughput that is planned with
    watts_per_core: float

    def price(self, throughput: float) -> float:
        """Of a million answers, on machines that are used to the utilisation; `throughput` in rows/s."""
        return self.machine_per_hour * _MILLION / (throughput * self.utilisation * _HOUR)

    def as_throughput(self, gate: Gate) -> Gate:
        """The gate on the throughput that is met where this one on the price is: what a search can aim at."""
        bound = self.price(1.0) / gate.bound if gate.bound > 0 else math.inf
        return Gate("throughput", _TURNED[gate.operator], bound, "rows/s")

    def replicas(self, throughput: float) -> int | None:
        """Machines for the load; None where none is said."""
        if self.load is None:
            return None
        return max(1, math.ceil(self.load / (throughput * self.utilisation) - 1e-9))  # 1e-9: what floats add

    def energy(self, throughput: float, cores: int) -> float:
        """Wh that a million answers take, estimated: all cores at their power while they are computed."""
        return self.watts_per_core * cores * _MILLION / (throughput * _HOUR)


def pricing(asked: Cost | None) -> Pricing | None:
    """What the spec says; None where it says nothing."""
    return None if asked is None else Pricing(**asked.model_dump())


def priced(pricing: Pricing, throughput: float, cores: int) -> dict[str, Measured]:
    """The price of a million answers, and the energy that they take."""
    return {
        "price": Measured(value=pricing.price(throughput), unit=PRICE),
        "energy": Measured(value=pricing.energy(throughput, cores), unit=ENERGY),
    }


def evidence(pricing: Pricing, throughput: float, cores: int) -> dict[str, Any]:
    """What the figures stand on, for the manifest; with a load the machines, and what they cost in an hour."""
    replicas = pricing.replicas(throughput)
    found: dict[str, Any] = {
        "currency": pricing.currency,
        "machine_per_hour": pricing.machine_per_hour,
        "utilisation": pricing.utilisation,
        "watts_per_core": pricing.watts_per_core,
        "cores": cores,
    }
    if pricing.load is None or replicas is None:
        return found
    hourly = replicas * pricing.machine_per_hour
    at_load = hourly * _MILLION / (pricing.load * _HOUR)
    return {**found, "load": pricing.load, "replicas": replicas, "per_hour": hourly, "price_at_load": at_load}
