"""The Open Inference Protocol, version 2, with the extension for binary tensors: clients of Triton and KServe.

https://github.com/kserve/open-inference-protocol; a tensor for each input column, a tensor for each answer column, all
of the shape (rows,) or (rows, 1). What is no plain number, text or truth value (a list, an object) is JSON in BYTES.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from trimtab import __version__
from trimtab.errors import brief
from trimtab.runtime import Model
from trimtab.serve import bodies, refusals
from trimtab.serve.bodies import Asked
from trimtab.serve.endpoints import Endpoint
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Answers, Served
from trimtab.serve.server import Server

_HEAD = "inference-header-content-length"
_NUMBERS = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_TEXT = "BYTES"
_TYPES = (*_NUMBERS, _TEXT)


def endpoints(server: Server) -> list[Endpoint]:
    """The addresses below `/v2`."""

    def named(request: Request) -> Served:
        """The bundle, if that is the model that is asked for. Raises Refused."""
        served = server.served
        if request.path_params["name"] != served.name:
            raise Refused(404, brief(f"no model named {request.path_params['name']!r}; served is {served.name!r}"))
        version = request.path_params.get("version", _version(served))
        if version not in (_version(served), "1"):
            raise Refused(404, brief(f"no version {version!r} of it; served is {_version(served)!r}"))
        return served

    async def about(request: Request) -> Response:
        return refusals.answer({"name": "trimtab", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def live(request: Request) -> Response:
        return refusals.answer({"live": True})

    async def ready(request: Request) -> Response:
        return refusals.answer({"ready": not server.draining}, 503 if server.draining else 200)

    async def model(request: Request) -> Response:
        return refusals.answer(_metadata(named(request)))

    async def model_ready(request: Request) -> Response:
        served = named(request)
        return refusals.answer({"name": served.name, "ready": not server.draining}, 503 if server.draining else 200)

    async def infer(request: Request) -> Response:
        served = named(request)
        asked = _asked(served.model, await bodies.read(request, server.settings), request.headers.get(_HEAD))
        if len(asked.rows) > server.settings.rows:
            raise Refused(413, f"inputs: {len(asked.rows):,} rows; at most {server.settings.rows:,} in one request")
        top = asked.rows_only
        served, found = await server.answer(request, top)
        return _answered(served, found, asked)

    fixed: list[tuple[str, str, Callable[[Request], Any], Any]] = [
        ("GET", "/v2", about, "open"),
        ("GET", "/v2/health/live", live, "open"),
        ("GET", "/v2/health/ready", ready, "open"),
    ]
    models = [("GET", "", model, "key"), ("GET", "/ready", model_ready, "open"), ("POST", "/infer", infer, "key")]
    below = ["/v2/models/{name}", "/v2/models/{name}/versions/{version}"]
    every = [*fixed, *((how, base + path, handle, who) for base in below for how, path, handle, who in models)]
    return [Endpoint(how, path, handle, who, refusals="plain") for how, path, handle, who in every]


# ------------------------------------------------------------------------------------------------------ metadata


def _version(served: Served) -> str:
    return served.hash[:12]


def _metadata(served: Served) -> dict[str, Any]:
    model = served.model
    kinds = {column.name: "FP64" if column.holds_numbers else _of(column.value_schema()) for column in model.inputs}
    inputs = [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in kinds.items()]
    answers = model.output.answer_schema()
    given = {name: schema for name, schema in answers.items() if name != f"{model.output.name}_top"}
    outputs = [{"name": name, "datatype": _of(schema), "shape": [-1]} for name, schema in given.items()]
    return {
        "name": served.name,
        "versions": [_version(served)],
        "platform": "trimtab",
        "inputs": inputs,
        "outputs": outputs,
    }


def _of(schema: Mapping[str, Any]) -> str:
    """The data type of a tensor whose values fit a schema."""
    types = schema.get("type", "string")
    kinds = set(types if isinstance(types, list) else [types]) - {"null"}
    return {frozenset({"number"}): "FP64", frozenset({"integer"}): "INT64", frozenset({"boolean"}): "BOOL"}.get(
        frozenset(kinds), _TEXT
    )


# ------------------------------------------------------------------------------------------------------- request


@dataclass(frozen=True)
class _Request:
    """A request to infer."""

    rows: list[dict[str, Any]]
    id: str | None
    outputs: Mapping[str, bool] | None  # those that are asked for, and whether as binary data; None: all
    binary: bool  # whether outputs that say nothing come as binary data

    @property
    def rows_only(self) -> Asked:
        return Asked(list(self.rows))


def _asked(model: Model, body: bytes, head: str | None) -> _Request:
    """The rows of a request. Raises Refused."""
    length = len(body) if head is None else int(head) if head.isdecimal() and len(head) < 12 else -1
    if not 0 <= length <= len(body):
        raise Refused(400, f"{_HEAD}: found {head!r:.80}; allowed: at most the length of the body, {len(body)}")
    found = bodies.parsed(body[:length])
    if not isinstance(found, dict) or not isinstance(found.get("inputs"), list):
        raise Refused(422, 'body: allowed: {"inputs": [{"name": ..., "shape": ..., "datatype": ..., "data": ...}]}')
    values, rest = {}, memoryview(body)[length:]
    for place, tensor in enumerate(found["inputs"]):
        name, column, rest = _tensor(tensor, f"inputs[{place}]", rest)
        values[name] = column
    if len(rest):
        raise Refused(400, f"body: {len(rest):,} bytes behind those of the tensors")
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        raise Refused(422, brief(f"inputs: tensors of different lengths: {lengths}"))
    count = next(iter(lengths.values()), 0)
    rows = [{name: column[row] for name, column in values.items()} for row in range(count)]
    default = _flag(found.get("parameters"), "binary_data_output")
    request_id = found.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise Refused(422, "id: found no text")
    return _Request(rows, request_id, _wanted(model, found.get("outputs"), default), default)


def _tensor(tensor: Any, where: str, rest: memoryview) -> tuple[str, list[Any], memoryview]:
    """The name and the values of a tensor, and the bytes behind its own. Raises Refused."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise Refused(422, f"{where}: allowed: an object with name, shape, datatype and data")
    where = brief(f"{where} ({tensor['name']})")
    kind, shape = tensor.get("datatype"), tensor.get("shape")
    if kind not in _TYPES:
        raise Refused(422, f"{where}: datatype: found {kind!r:.80}; allowed: {', '.join(_TYPES)}")
    if not isinstance(shape, list) or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise Refused(422, f"{where}: shape: found {shape!r:.80}; allowed: [rows] or [rows, 1]")
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise Refused(422, f"{where}: shape: found {shape!r:.80}; allowed: [rows] or [rows, 1]")
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if isinstance(parameters, dict) and "shared_memory_region" in parameters:
        raise Refused(422, f"{where}: shared memory of this machine is not read; send the data")
    if size is None:
        values = _flat(tensor.get("data"), where)
    elif type(size) is not int or not 0 <= size <= len(rest):
        raise Refused(422, f"{where}: binary_data_size: found {size!r:.80}; {len(rest):,} bytes are left")
    else:
        values, rest = _unpacked(kind, rest[:size], where), rest[size:]
    if len(values) != shape[0]:
        raise Refused(422, f"{where}: {len(values):,} values for the shape {shape}")
    return tensor["name"], values, rest


def _flat(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise Refused(422, f"{where}: data: found no list")
    flat = data[0] if len(data) == 1 and isinstance(data[0], list) and len(data[0]) != 1 else data
    values = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in flat]
    if any(isinstance(one, (list, dict)) for one in values):
        raise Refused(422, f"{where}: data: found lists or objects; give them as JSON in BYTES")
    return [_said(one) if isinstance(one, str) else one for one in values]


def _unpacked(kind: str, data: memoryview, where: str) -> list[Any]:
    if kind != _TEXT:
        number = np.dtype(_NUMBERS[kind])
        if len(data) % number.itemsize:
            raise Refused(422, f"{where}: {len(data):,} bytes are no whole number of {kind}")
        return list(np.frombuffer(data, number).tolist())
    values, start = [], 0
    while start < len(data):
        stop = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if stop > len(data):
            raise Refused(422, f"{where}: a text that is longer than the bytes that are left")
        values.append(_said(bytes(data[start + 4 : stop])))
        start = stop
    return values


def _said(value: str | bytes) -> Any:
    """What an element of BYTES says: a text; a list or an object as JSON; bytes that are no text."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return value
    if value.startswith(("[", "{")):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return found if isinstance(found, (list, dict)) else value
    return value


def _wanted(model: Model, outputs: Any, default: bool) -> Mapping[str, bool] | None:
    if outputs is None or outputs == []:
        return None
    known = model.output.answer_schema()
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise Refused(422, 'outputs: allowed: [{"name": ...}]')
    names = [one.get("name") for one in outputs]
    if strange := next((name for name in names if not isinstance(name, str) or name not in known), None):
        raise Refused(422, brief(f"outputs: no output named {strange!r}; allowed: {', '.join(known)}"))
    if None in names:
        raise Refused(422, 'outputs: allowed: [{"name": ...}]')
    asked = (one.get("parameters") for one in outputs)
    if any(isinstance(parameters, dict) and "classification" in parameters for parameters in asked):
        raise Refused(422, "outputs: classification: not offered; the answers are names already")
    return {one["name"]: _flag(one.get("parameters"), "binary_data", default) for one in outputs}


def _flag(parameters: Any, name: str, default: bool = False) -> bool:
    return bool(parameters.get(name, default)) if isinstance(parameters, dict) else default


# -------------------------------------------------------------------------------------------------------- answer


def _answered(served: Served, found: Answers, asked: _Request) -> Response:
    names = list(asked.outputs or (found.rows[0] if found.rows else served.model.output.answer_schema()))
    schemas, outputs, packed = served.model.output.answer_schema(), [], []
    for name in names:
        values = [row.get(name) for row in found.rows]
        kind = _of(schemas.get(name, {}))
        if kind == "FP64" and None in values:  # withheld: there is no such number
            values = [float("nan") if value is None else value for value in values]
        tensor: dict[str, Any] = {"name": name, "shape": [len(values)], "datatype": kind}
        if (asked.outputs or {}).get(name, asked.binary):
            data = _packed(kind, values)
            packed.append(data)
            tensor["parameters"] = {"binary_data_size": len(data)}
        else:
            tensor["data"] = [_worded(kind, value) for value in values]
        outputs.append(tensor)
    said = {"model_name": served.name, "model_version": _version(served), "outputs": outputs}
    if asked.id is not None:
        said["id"] = asked.id
    response = refusals.answer(said)
    if not packed:
        return response
    head = bytes(response.body)
    return Response(
        b"".join([head, *packed]),
        headers={_HEAD: str(len(head))},
        media_type="application/octet-stream",
    )


def _worded(kind: str, value: Any) -> Any:
    """A value in JSON; of BYTES always a text."""
    if kind != _TEXT:
        return None if isinstance(value, float) and value != value else value
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _packed(kind: str, values: Sequence[Any]) -> bytes:
    if kind != _TEXT:
        return np.asarray(values, np.dtype(_NUMBERS[kind])).tobytes()
    texts = (_worded(kind, value).encode("utf-8", "surrogatepass") for value in values)
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
