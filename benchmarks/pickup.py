"""How long a job waits to be picked up: from `enqueue` to its `started`, with more and more jobs running.

    python -m benchmarks.pickup                                  # 4 workers; 0, 700 and 5,000 jobs running
    python -m benchmarks.pickup --running 0 --arq-running 0      # in half a minute

Jobs come at random, 50 ms apart on average, whether the last one has started or not. Each is timed by one clock, that
of this process: from before the call of `enqueue` to when `started` reaches a read that blocks on the job's stream.
What runs is silent: calls of the OpenAI SDK whose simulated answer does not come.

Beside it stands stock arq with its defaults: workers run by the `arq` command, whose function appends `started` and
sleeps. It calls no provider, which is in its favour. All traffic stays on the loopback; every process ends with this
one.
"""

import argparse
import asyncio
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import uvloop
from arq.connections import ArqRedis, RedisSettings, create_pool

from benchmarks.figures import percentile, show, show_origin
from benchmarks.stand import BRIEF, Stand, open_stand
from tailrace.protocol.keys import new_job_id
from tailrace_worker.processes.child import ChildProcess

P50_MS: Final = 5
P99_MS: Final = 25
TIMES_SLOWER: Final = 100
"""Of stock arq, at 700 running jobs."""

_GAP_SECONDS: Final = 0.05
_WARM_UP: Final = 20
_SPARE: Final = 100
"""Places a worker has beyond its share of the running jobs."""
_READY_SECONDS: Final = 60
_STARTED_SECONDS: Final = 60
_HOUR_SECONDS: Final = 3_600


class Contender(Protocol):
    """A queue with its workers."""

    async def fill(self, running: int) -> None:
        """Returns once so many more jobs run."""

    async def pick_up(self) -> None:
        """Enqueues a short job; returns when its `started` has been read."""


@dataclass(frozen=True, slots=True)
class OfTailrace:
    """tailrace's own."""

    stand: Stand

    async def fill(self, running: int) -> None:
        await self.stand.fill(running)

    async def pick_up(self) -> None:
        job = await self.stand.enqueue(BRIEF)
        await self.stand.first_entry(self.stand.keys.events(job.id), after="0-1")


@dataclass(frozen=True, slots=True)
class OfArq:
    """Stock arq's."""

    stand: Stand
    queue: ArqRedis

    async def fill(self, running: int) -> None:
        for stream in [await self._enqueue(_HOUR_SECONDS) for _ in range(running)]:
            await self.stand.first_entry(stream, after="0")

    async def pick_up(self) -> None:
        await self.worker_of(await self._enqueue(0))

    async def worker_of(self, stream: str) -> bytes:
        """Which worker has started a job."""
        return (await self.stand.first_entry(stream, after="0"))[b"worker"]

    async def ready(self, workers: int) -> None:
        """Returns when so many workers have each run a job."""
        seen: set[bytes] = set()
        async with asyncio.timeout(_READY_SECONDS):
            while len(seen) < workers:
                seen.add(await self.worker_of(await self._enqueue(0)))

    async def _enqueue(self, sleep_seconds: float) -> str:
        job_id = new_job_id()
        await self.queue.enqueue_job("generate", sleep_seconds, _job_id=job_id)
        return job_id


@asynccontextmanager
async def open_tailrace(workers: int, most_running: int) -> AsyncGenerator[Contender]:
    """tailrace on a broker of its own."""
    async with open_stand() as stand, stand.workers(workers, max_jobs=_places(workers, most_running)):
        yield OfTailrace(stand)


@asynccontextmanager
async def open_arq(workers: int, most_running: int) -> AsyncGenerator[Contender]:
    """Stock arq on a broker of its own."""
    async with open_stand() as stand, AsyncExitStack() as stack:
        env = {
            **os.environ,
            "BENCHMARK_REDIS_URL": stand.redis_url,
            "BENCHMARK_MAX_JOBS": str(_places(workers, most_running)),
        }
        command = [sys.executable, "-m", "arq", "benchmarks.stock_arq.WorkerSettings"]
        for _ in range(workers):
            stack.enter_context(ChildProcess(command, env=env, output=subprocess.DEVNULL, grace_seconds=1))
        queue: Any = await create_pool(RedisSettings.from_dsn(stand.redis_url))
        stack.push_async_callback(queue.aclose)
        contender = OfArq(stand, queue)
        await contender.ready(workers)
        yield contender


def _places(workers: int, most_running: int) -> int:
    return math.ceil(most_running / workers) + _SPARE


async def pickups_ms(contender: Contender, jobs: int) -> list[float]:
    """How long each of some jobs took, without the first ones, for which connections are still opened."""

    async def timed() -> float:
        began = time.perf_counter()
        async with asyncio.timeout(_STARTED_SECONDS):
            await contender.pick_up()
        return (time.perf_counter() - began) * 1000

    async with asyncio.TaskGroup() as coming:
        tasks: list[asyncio.Task[float]] = []
        for _ in range(_WARM_UP + jobs):
            tasks.append(coming.create_task(timed()))
            await asyncio.sleep(random.expovariate(1 / _GAP_SECONDS))
    return [task.result() for task in tasks[_WARM_UP:]]


async def measure(name: str, contender: Contender, levels: Sequence[int], jobs: int) -> dict[int, list[float]]:
    """The pickups at each level of running jobs, from the lowest up."""
    measured: dict[int, list[float]] = {}
    running = 0
    for level in sorted(levels):
        print(f"{name}: {level:,} running ...", file=sys.stderr, flush=True)
        await contender.fill(level - running)
        running = level
        measured[level] = await pickups_ms(contender, jobs)
    return measured


async def run(options: argparse.Namespace) -> None:
    """Measures both and prints them side by side."""
    ours: dict[int, list[float]] = {}
    arqs: dict[int, list[float]] = {}
    if options.running:
        async with open_tailrace(options.workers, max(options.running)) as contender:
            ours = await measure("tailrace", contender, options.running, options.jobs)
    if options.arq_running:
        async with open_arq(options.workers, max(options.arq_running)) as contender:
            arqs = await measure("stock arq", contender, options.arq_running, options.jobs)
    rows: list[list[object]] = []
    for level in sorted(ours | arqs):
        fast, slow = ours.get(level), arqs.get(level)
        rows.append([f"{level:,}", *_columns(fast), *_columns(slow), _times_slower(fast, slow)])
    rows.append(["target", f"<= {P50_MS}", f"<= {P99_MS}", "", "", "", "", f">= {TIMES_SLOWER} at 700"])
    show(
        f"enqueue to started in ms; {options.workers} workers, {options.jobs} jobs a line",
        ["running", "tailrace p50", "p99", "max", "stock arq p50", "p99", "max", "times slower (p50)"],
        rows,
    )
    show_origin()


def _columns(pickups: Sequence[float] | None) -> Sequence[object]:
    return (percentile(pickups, 50), percentile(pickups, 99), max(pickups)) if pickups else ("", "", "")


def _times_slower(fast: Sequence[float] | None, slow: Sequence[float] | None) -> object:
    return round(percentile(slow, 50) / percentile(fast, 50)) if fast and slow else ""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, help="of each (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=200, help="timed at each level (default: %(default)s)")
    parser.add_argument(
        "--running", type=int, nargs="*", default=[0, 700, 5_000], help="levels for tailrace (default: 0 700 5000)"
    )
    parser.add_argument(
        "--arq-running", type=int, nargs="*", default=[0, 700], help="levels for stock arq (default: 0 700)"
    )
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
