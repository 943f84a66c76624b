"""How much memory large answers take: in a process that reads many of them late, and in a worker that gets them.

    python -m benchmarks.memory        # 40 late tails of 32 MB, and 60 jobs with pieces of 15 MB; about two minutes

One process tails all of the streams, each from its beginning and slowly, as behind a connection that is full. The
streams have entries of 64 KiB, as workers write them; they are read as events, and as snapshots. Then all tails read
one stream that has entries of 15 MB, as another program may write them. One worker runs all of the jobs at once; with
its own settings their answers are `too_long`, and with others they are passed on whole. What is told is the most that
the process has ever had resident, its own code and libraries included. All traffic stays on the loopback; every process
ends with this one.
"""

import argparse
import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from benchmarks.figures import show, show_origin
from benchmarks.stand import Stand, open_stand
from tailrace import Job, Tailrace
from tailrace.answer import Snapshot
from tailrace.events import Completed, Delta
from tailrace.protocol.entries import encode
from tailrace_worker.processes.service import open_service

LIMIT_MB: Final = 500

_ENTRY_BYTES: Final = 65_536
_SLOW_SECONDS: Final = 0.002
_FOREIGN_ENTRIES: Final = 20
_JOB_SECONDS: Final = 120


def most_resident_mb(pid: int) -> float:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1_000


async def tail_late(redis_url: str, jobs: list[str], *, snapshot: bool) -> None:
    """Reads all of the jobs at once, and prints what that took; runs as a process of its own."""
    async with Tailrace.connect(redis_url) as tailrace:

        async def read(job: Job) -> int:
            chars = 0
            async for event in job.tail(snapshot=snapshot):
                if isinstance(event, Delta):
                    chars += len(event.text)
                    await asyncio.sleep(random.uniform(0, 2 * _SLOW_SECONDS))
                elif isinstance(event, Snapshot):
                    chars += len(event.answer.text)
            return chars

        read_chars = await asyncio.gather(*(read(tailrace.job(job)) for job in jobs))
    print(json.dumps([sum(read_chars), most_resident_mb(os.getpid())]))


async def measure_tails(
    stand: Stand,
    tails: int,
    answer_bytes: int,
    *,
    entry_bytes: int = _ENTRY_BYTES,
    streams: int,
    snapshot: bool = False,
) -> float:
    """The memory of a process that reads so many answers, each from its beginning."""
    async with stand.waiting(streams) as jobs:
        text = "x" * entry_bytes
        for job in jobs:
            stream = stand.keys.events(job)
            entries = [Delta(text=text)] * (answer_bytes // entry_bytes)
            await stand.broker.pipeline(
                *(("XADD", stream, f"1-{seq}", *encode(event)) for seq, event in enumerate(entries, 2)),
                ("XADD", stream, f"1-{len(entries) + 2}", *encode(Completed(at=0, finish_reason="stop"))),
            )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.memory", *(["--snapshot"] if snapshot else [])),
            *("--tail", stand.redis_url, *jobs * (tails // streams)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    chars, resident_mb = json.loads(said)
    assert chars == tails * (answer_bytes // entry_bytes) * entry_bytes
    return float(resident_mb)


@asynccontextmanager
async def large_pieces(piece_bytes: int) -> AsyncGenerator[str]:
    """A provider whose answers are one piece each; the URL for `OPENAI_BASE_URL`."""
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    large = json.dumps({**chunk, "choices": [{"index": 0, "delta": {"content": "x" * piece_bytes}}]}).encode()
    last = json.dumps({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).encode()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for part in (b"data: ", large, b"\n\ndata: ", last, b"\n\ndata: [DONE]\n\n"):
            await response.write(part)
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def measure_worker(stand: Stand, jobs: int, piece_bytes: int, *, max_answer_bytes: int) -> tuple[str, float]:
    """How so many jobs end whose answers are one piece of that size, and the memory of their worker."""
    async with large_pieces(piece_bytes) as base_url:
        env = {
            **os.environ,
            "TAILRACE_REDIS_URL": stand.redis_url,
            "TAILRACE_MAX_ANSWER_BYTES": str(max_answer_bytes),
            "OPENAI_API_KEY": "key-of-the-benchmark",
            "OPENAI_BASE_URL": base_url,
            "NO_PROXY": "127.0.0.1",
        }
        async with open_service("worker", env=env, on_death=stand.on_death) as service:
            await service.ready()
            enqueued = [await stand.enqueue("large") for _ in range(jobs)]
            async with asyncio.timeout(_JOB_SECONDS):
                endings = {await _ending(job) for job in enqueued}
            resident_mb = most_resident_mb(service.pid)
    await stand.broker.call("FLUSHALL")
    return ", ".join(sorted(endings)), resident_mb


async def _ending(job: Job) -> str:
    async for event in job.tail():
        if event.type in {"completed", "failed", "cancelled"}:
            return str(getattr(event, "code", event.type))
    raise AssertionError("a tail ends with an ending")


async def run(options: argparse.Namespace) -> bool:
    """Measures and prints; whether all stay under the limit."""
    async with open_stand() as stand:
        tails, answer_bytes, piece_bytes = options.tails, options.answer_mb * 10**6, options.piece_mb * 10**6
        title = f"{tails} late tails of {options.answer_mb} MB"
        foreign = f"{tails} late tails of one stream of {_FOREIGN_ENTRIES} entries of {options.piece_mb} MB"
        rows: list[list[object]] = [
            [title, "", await measure_tails(stand, tails, answer_bytes, streams=tails)],
            [
                f"{title}, as snapshots",
                "",
                await measure_tails(stand, tails, answer_bytes, streams=tails, snapshot=True),
            ],
            [
                foreign,
                "",
                await measure_tails(stand, tails, _FOREIGN_ENTRIES * piece_bytes, entry_bytes=piece_bytes, streams=1),
            ],
        ]
        for max_answer_bytes in (8 * 2**20, 64 * 10**6):
            ending, resident_mb = await measure_worker(
                stand, options.jobs, piece_bytes, max_answer_bytes=max_answer_bytes
            )
            title = f"{options.jobs} jobs with a piece of {options.piece_mb} MB, {max_answer_bytes:,} bytes allowed"
            rows.append([title, ending, resident_mb])
    show("Resident at most", ("", "ends", "MB"), rows)
    show_origin()
    return all(float(str(row[-1])) < LIMIT_MB for row in rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tails", type=int, default=40)
    parser.add_argument("--answer-mb", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--piece-mb", type=int, default=15)
    parser.add_argument("--snapshot", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tail", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tail:
        asyncio.run(tail_late(options.tail[0], options.tail[1:], snapshot=options.snapshot))
    elif not asyncio.run(run(options)):
        sys.exit("More than may be.")


if __name__ == "__main__":
    main()
