"""What the frames of a verbatim answer cost: the memory of the job's stream in Redis, without them and with them.

Each model answers twice, a `GenerationRequest` and a `VerbatimRequest`. With `--url`, the models of another server are
called, such as one that replays recorded answers; the server has to speak the three protocols.
"""

import argparse
import asyncio
from typing import Any, Final, NamedTuple

from benchmarks.figures import show, show_origin
from benchmarks.stand import PROMPT, Stand, open_stand
from tailrace import Completed, GenerationRequest, VerbatimRequest

_SIMULATED: Final = ("openai:demo", "openai-responses:demo", "anthropic:demo")


class _Cost(NamedTuple):
    """What a job's stream takes."""

    entries: int
    stream_bytes: int
    raw_bytes: int


async def _cost(stand: Stand, request: GenerationRequest | VerbatimRequest) -> _Cost:
    job = await stand.tailrace.enqueue(request)
    events = [event async for event in job.tail()]
    if not isinstance(events[-1], Completed):
        raise SystemExit(f"{request.provider} {request.model} has not completed: {events[-1]}")
    taken: Any = await stand.broker.call("MEMORY", "USAGE", stand.keys.events(job.id), "SAMPLES", 0)
    raw_bytes = sum(len(getattr(event, "raw", None) or b"") for event in events)
    await job.delete()
    return _Cost(len(events), taken, raw_bytes)


def _requests(provider: str, model: str) -> tuple[GenerationRequest, VerbatimRequest]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": PROMPT}]
    said = {"input": messages} if provider == "openai-responses" else {"messages": messages, "max_tokens": 4_096}
    return (
        GenerationRequest(provider=provider, model=model, messages=messages),
        VerbatimRequest(provider=provider, body={"model": model, **said}),
    )


async def _run(targets: list[str], url: str | None) -> None:
    rows: list[list[object]] = []
    providers = {target.partition(":")[0] for target in targets}
    async with open_stand() as stand, stand.worker(url=url, providers=providers):
        for target in targets:
            provider, _, model = target.partition(":")
            plain, framed = [await _cost(stand, request) for request in _requests(provider, model)]
            kib = [count / 1024 for count in (plain.stream_bytes, framed.stream_bytes, framed.raw_bytes)]
            rows.append([target, plain.entries, framed.entries, *kib, kib[1] / kib[0]])
    header = ["an answer", "entries", "with frames", "KiB", "with frames", "frames", "times"]
    show("memory of a job's stream in Redis", header, rows)
    show_origin()


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", metavar="PROVIDER:MODEL", nargs="*", default=list(_SIMULATED))
    parser.add_argument("--url", help="the server whose models answer; by default the simulator")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.targets, arguments.url))


if __name__ == "__main__":
    main()
