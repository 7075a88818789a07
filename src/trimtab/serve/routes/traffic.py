"""`GET /traffic`: the last minutes of all workers, for the page at `/`."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response

from trimtab.serve import refusals
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.served import Served
from trimtab.serve.server import Server
from trimtab.serve.traffic import together

_TOPIC = "traffic"
_EVIDENCE = "trimtab_drift_evidence"


def endpoints(server: Server) -> list[Endpoint]:
    """`GET /traffic`."""
    server.reports[_TOPIC] = server.traffic.told

    async def traffic(request: Request) -> Response:
        found = together(await server.colleagues.gather(_TOPIC))
        # How near each column is to an alarm, as `/metrics` has it; from 1 on it is one.
        families = text_string_to_metric_families(server.figures().decode())
        samples = (sample for family in families if family.name == _EVIDENCE for sample in family.samples)
        drift = [{"name": sample.labels["column"], "value": sample.value} for sample in samples]
        return refusals.answer({**found, "drift": drift})

    return [Endpoint("GET", "/traffic", traffic, operation=_operation)]


def _operation(served: Served) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    said = {"200": {"description": "steps of some seconds, the newest last", "content": content}}
    summary = "The last 15 minutes: requests, latency in milliseconds, answers by class."
    return {"operationId": "traffic", "summary": summary, "responses": said}
