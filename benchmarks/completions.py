"""A bundle that writes texts, served to one client and to many: `python -m benchmarks.completions BUNDLE ROWS.csv`.

Each client asks `/v1/completions` for its next text as soon as it has the last one (a closed loop), piece by piece.
Every answer is held against what `predict` gives for the same text. Printed are tokens and answers a second, and the
time to the first token, for each number of clients, and how many times those of the first number the others reach.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.serving import Server, free_port
from trimtab import rows, runtime
from trimtab.audit.cost import machine

_TEXTS = 200  # that are asked, in turn


class Answer(NamedTuple):
    """What a client got."""

    text: str
    tokens: int
    first: float  # seconds until the first piece


async def asked(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], body: bytes) -> Answer:
    """One completion over a connection that is kept."""
    reader, writer = streams
    start, first = time.perf_counter(), 0.0
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    status = await reader.readline()
    while (await reader.readline()).strip():
        pass
    if b" 200 " not in status:
        raise RuntimeError(status.decode())
    text, tokens, events = "", 0, b""
    while size := int(await reader.readline(), 16):
        events += (await reader.readexactly(size + 2))[:-2]
        *whole, events = events.split(b"\n\n")
        for event in whole:
            first = first or time.perf_counter() - start
            if event != b"data: [DONE]":
                told = json.loads(event.removeprefix(b"data: "))
                text += "".join(choice["text"] for choice in told["choices"])
                tokens = (told.get("usage") or {}).get("completion_tokens", tokens)
    await reader.readline()
    return Answer(text, tokens, first)


async def load(port: int, name: str, texts: Sequence[str], clients: int, seconds: float) -> dict[str, Any]:
    """Some clients for some seconds; answers that are not what `texts` are answered with are counted by the caller."""
    turn: Iterator[int] = itertools.cycle(range(len(texts)))
    found: list[tuple[int, Answer]] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            place = next(turn)
            said = {"model": name, "prompt": texts[place], "stream": True, "stream_options": {"include_usage": True}}
            found.append((place, await asked(streams, json.dumps(said).encode())))
        streams[1].close()

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    took = time.perf_counter() - start
    firsts = sorted(answer.first for _, answer in found)
    return {
        "clients": clients,
        "tokens_per_s": round(sum(answer.tokens for _, answer in found) / took, 1),
        "answers_per_s": round(len(found) / took, 1),
        "first_token_p50_ms": round(1000 * statistics.median(firsts), 1),
        "first_token_p95_ms": round(1000 * firsts[int(0.95 * (len(firsts) - 1))], 1),
        "answers": [(place, answer.text) for place, answer in found],
    }


def main() -> None:
    """Serve, ask, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--load", help=argparse.SUPPRESS)  # the other process: what it is to do, as JSON
    given = parser.parse_args()
    if given.load:
        print(json.dumps(asyncio.run(load(**json.loads(given.load)))))
        return
    model = runtime.load(given.bundle, given.threads)
    (column,) = (column.name for column in model.inputs if column.is_text)
    source = rows.read(given.data, lambda rejected: None, None, lambda note: None, None, model.serving.encoding)
    texts = [str(row.values[column]) for row in itertools.islice(source, _TEXTS)]
    answers = model.writing(beams=1).predict([{column: text} for text in texts]).answers[model.output.name]
    port = free_port()
    threads = () if given.threads is None else ("--threads", str(given.threads))
    command = [
        sys.executable,
        "-m",
        "trimtab",
        "serve",
        str(given.bundle.resolve()),
        "--port",
        str(port),
        "--log",
        "off",
    ]
    server = Server([*command, "--timeout", "60", *threads], {}, port, {column: texts[0]})
    runs = []
    try:
        for clients in given.clients:
            do = {
                "port": port,
                "name": model.manifest.name,
                "texts": texts,
                "clients": clients,
                "seconds": given.seconds,
            }
            other = [sys.executable, "-m", "benchmarks.completions", "-", "-", "--load", json.dumps(do)]
            run = json.loads(subprocess.run(other, capture_output=True, text=True, check=True).stdout)
            wrong = sum(text != answers[place] for place, text in run.pop("answers"))
            runs.append({**run, "other_than_predict": wrong, "megabytes": round(server.megabytes())})
            print(runs[-1], file=sys.stderr, flush=True)
    finally:
        server.stop()
    times = [round(run["tokens_per_s"] / runs[0]["tokens_per_s"], 2) for run in runs]
    print(json.dumps({"machine": machine(), "runs": runs, "times_the_first": times}, indent=1))


if __name__ == "__main__":
    main()
