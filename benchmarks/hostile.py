"""How long the pieces of one job wait while a worker gets requests that are made to hold it up.

    python -m benchmarks.hostile       # about two minutes

One job streams a piece each 10 ms from a simulator of its own; a process that tails it notes when each piece comes, and
what is told is the longest time between two. In the same run, first nothing else happens, and then one request after
another is made, enqueued and waited for, each several times. `door` is the CPU that a service spends on accepting or
refusing a request, in all and for each megabyte of it as JSON; it is spent in the service's loop. A request that is
refused never reaches the worker. All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from benchmarks.figures import show, show_origin
from benchmarks.process import Process, answer, open_process
from benchmarks.stand import PATIENCE, Stand, open_stand
from tailrace import GenerationRequest, Job, Tailrace
from tailrace.events import Delta
from tailrace_worker.processes.service import open_service

TARGET_MS: Final = 50

_STEADY: Final = "steady?pieces=10000000&interval_ms=10"
_BRIEF: Final = "demo?pieces=1&interval_ms=0"
_MEGABYTE: Final = 1_000_000
_JOB_SECONDS: Final = 60
_CALM_SECONDS: Final = 2


def _guards(number: int, patterns: Callable[[int, int], str], each: int) -> list[dict[str, Any]]:
    return [{"type": "block", "patterns": [patterns(n, place) for place in range(each)]} for n in range(number)]


def _nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def _tool(number: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": f"tool_{number}", "parameters": {"type": "object", **parameters}}


def _wide(values: int) -> dict[str, Any]:
    return {"properties": {f"p{number}": {} for number in range(values)}}


def _said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


_SLOW_PATTERNS: Final = [rf"b[ab]*a[ab]{{{number}}}c" for number in range(1, 41)]
_SLOW_TEXT: Final = "abbab" * 10_000

REQUESTS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "16 + 16 guards of 64 patterns": lambda: {
        "guards": _guards(16, lambda n, place: f"{n:x}{place:02}.{{1,9}}x[a-z]+", 64),
        "input_guards": _guards(16, lambda n, place: f"{n:x}{place:02}.{{1,9}}y[a-z]+", 64),
    },
    "16 + 16 guards, as large as may be": lambda: {
        "guards": _guards(16, lambda n, place: f"{n:x}{place}x[a-z]{{17}}", 3),
        "input_guards": _guards(16, lambda n, place: f"{n:x}{place}y[a-z]{{17}}", 3),
    },
    "patterns that are slow to look for": lambda: {
        "input_guards": [{"type": "block", "patterns": _SLOW_PATTERNS}],
        "messages": _said(_SLOW_TEXT),
    },
    "32 guards with all kinds": lambda: {
        place: [
            {"type": "redact", "kinds": ["email", "phone", "card", "iban", "ip", "secret"], "words": [f"{place}{n}"]}
            for n in range(16)
        ]
        for place in ("guards", "input_guards")
    },
    "all kinds, in a megabyte of digits": lambda: {
        "input_guards": [{"type": "redact", "kinds": ["email", "phone", "card", "iban", "ip", "secret"]}],
        "messages": _said("4111 1111-1111.1111 " * 50_000),
    },
    "a schema of 10,000 levels": lambda: {"output_schema": {"name": "s", "schema": _nested(10_000)}},
    "a schema of 31 levels": lambda: {"output_schema": {"name": "s", "schema": _nested(31)}},
    "a hostile pattern in a schema": lambda: {
        "output_schema": {"name": "s", "schema": {"type": "string", "pattern": "(a+)+$" * 100_000}}
    },
    "10,000 tools": lambda: {"tools": [_tool(number, {}) for number in range(10_000)]},
    "200 tools of 90 values": lambda: {"tools": [_tool(number, _wide(90)) for number in range(200)]},
    "a schema of 60,000 values": lambda: {"tools": [_tool(0, _wide(60_000))]},
    "20,000 tools of one name": lambda: {"tools": [_tool(0, {})] * 20_000},
    "a text of a megabyte": lambda: {"messages": _said("x" * _MEGABYTE)},
    "an image of a megabyte": lambda: {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "media_type": "image/png", "data": "A" * _MEGABYTE}],
            }
        ]
    },
    "20,000 messages": lambda: {"messages": _said("x") * 20_000},
    "20,000 parts": lambda: {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 20_000}]},
    "20,000 parts at fault": lambda: {"messages": [{"role": "user", "content": [{"type": "text"}] * 20_000}]},
    "extra of 60,000 values": lambda: {"extra": {"metadata": {f"k{number}": number for number in range(60_000)}}},
}


async def watch(redis_url: str, job_id: str) -> None:
    """Notes when the pieces of a job come, and tells the longest wait since it was asked; a process of its own."""
    came_at = time.monotonic()
    worst = 0.0

    def longest_ms() -> float:
        nonlocal worst
        told, worst = max(worst, time.monotonic() - came_at), 0.0
        return told * 1_000

    async def note() -> None:
        nonlocal came_at, worst
        async with Tailrace.connect(redis_url) as tailrace:
            async for event in tailrace.job(job_id).tail():
                if isinstance(event, Delta):
                    now = time.monotonic()
                    worst = max(worst, now - came_at)
                    came_at = now

    noting = asyncio.create_task(note())
    await asyncio.to_thread(answer, {"longest_ms": longest_ms})
    noting.cancel()


def at_the_door(fields: Mapping[str, Any]) -> tuple[GenerationRequest | None, float]:
    """The request, unless it is refused, and how many ms of CPU that took."""
    began = time.process_time()
    try:
        request = GenerationRequest.model_validate(
            {"provider": "openai", "model": _BRIEF, "messages": _said("Hi"), **fields}
        )
        request.to_json(max_bytes=4 * _MEGABYTE)
    except ValidationError:
        request = None
    return request, (time.process_time() - began) * 1_000


def _megabytes(fields: Mapping[str, Any]) -> float:
    try:
        return len(json.dumps(fields)) / _MEGABYTE
    except RecursionError:
        return math.nan


async def _ending(job: Job) -> str:
    async with asyncio.timeout(_JOB_SECONDS):
        async for event in job.tail():
            if event.type in {"completed", "failed", "cancelled"}:
                return str(getattr(event, "code", event.type))
    raise AssertionError("a tail ends with an ending")


async def measure(stand: Stand, watcher: Process, *, rounds: int) -> list[list[object]]:
    """The rows: what each request did to the other job."""
    waits_ms: list[float] = []
    for _ in range(rounds):
        await watcher.ask("longest_ms")
        await asyncio.sleep(_CALM_SECONDS)
        waits_ms.append(await watcher.ask("longest_ms"))
    rows: list[list[object]] = [["nothing", "", math.nan, math.nan, *_least_and_most(waits_ms)]]
    for name, build in REQUESTS.items():
        fields = build()
        ending = "refused"
        doors_ms: list[float] = []
        waits_ms = []
        for _ in range(rounds):
            request, door_ms = at_the_door(fields)
            doors_ms.append(door_ms)
            if request is not None:
                await watcher.ask("longest_ms")
                ending = await _ending(await stand.tailrace.enqueue(request))
                waits_ms.append(await watcher.ask("longest_ms"))
        of_a_megabyte = min(doors_ms) / max(_megabytes(fields), 0.01)
        rows.append([name, ending, min(doors_ms), of_a_megabyte, *_least_and_most(waits_ms)])
    return rows


def _least_and_most(waits_ms: Sequence[float]) -> tuple[float, float]:
    return (min(waits_ms), max(waits_ms)) if waits_ms else (math.nan, math.nan)


async def run(options: argparse.Namespace) -> None:
    """Measures and prints."""
    async with (
        open_stand() as stand,
        open_service("simulate", "--port=0", env=os.environ, on_death=stand.on_death) as steady,
    ):
        env = {
            **os.environ,
            **PATIENCE,
            "TAILRACE_REDIS_URL": stand.redis_url,
            "TAILRACE_MAX_ANSWER_BYTES": str(10**9),
            "OPENAI_API_KEY": "key-of-the-benchmark",
            "OPENAI_BASE_URL": f"{stand.simulator_url}/v1",
            "ANTHROPIC_API_KEY": "key-of-the-benchmark",
            "ANTHROPIC_BASE_URL": await steady.ready(),
            "NO_PROXY": "127.0.0.1",
        }
        async with open_service("worker", env=env, on_death=stand.on_death) as worker:
            await worker.ready()
            fields = {"provider": "anthropic", "model": _STEADY, "messages": _said("Hi")}
            job = await stand.tailrace.enqueue(GenerationRequest.model_validate(fields))
            await stand.first_entry(stand.keys.events(job.id), "1-2")
            async with open_process("benchmarks.hostile", "--watch", stand.redis_url, job.id) as watcher:
                rows = await measure(stand, watcher, rounds=options.rounds)
            await job.cancel()
    header = ("while the worker gets", "ends", "door ms", "for a MB", "ms, least", "most")
    show("Longest wait for a piece of another job, of several tries", header, rows)
    print(f"\ntarget: {TARGET_MS} ms. What the least is above, the request did; the most is of a busy machine as well.")
    show_origin()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--watch", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        asyncio.run(watch(*options.watch))
    else:
        asyncio.run(run(options))


if __name__ == "__main__":
    main()
