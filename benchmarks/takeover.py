"""How long a job of a killed worker stands still: from SIGKILL to the `started` of its next attempt.

    python -m benchmarks.takeover                       # 10 workers, 50 kills, 5 at a time: about two minutes

Workers run silent jobs. In each round some of them are killed, within a second of each other; those that are left take
their jobs over, and others are started in place of the dead. A kill is timed until the last of its jobs has started
again, by one clock: that of this process, which reads each job's stream in a read that blocks.
All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from benchmarks.figures import percentile, show, show_origin
from benchmarks.stand import SILENT, Stand, open_stand
from tailrace import Job
from tailrace.events import Started
from tailrace_worker.settings import WorkerSettings

MARGIN_SECONDS: Final = 1
"""What a takeover may take beyond the lease."""

_JOBS_A_WORKER: Final = 3
_GAP_SECONDS: Final = 0.2
_STARTED_SECONDS: Final = 60


class Fleet:
    """Workers that die one by one, and are replaced."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._workers: dict[int, AsyncExitStack] = {}

    @property
    def pids(self) -> list[int]:
        """Who is alive."""
        return list(self._workers)

    async def grow(self, number: int) -> None:
        """Starts so many workers more; returns when they are ready."""
        async with asyncio.TaskGroup() as starting:
            for _ in range(number):
                starting.create_task(self._start())

    async def kill(self, pid: int) -> float:
        """Ends a worker by SIGKILL; returns when that was."""
        os.kill(pid, signal.SIGKILL)
        killed_at = time.perf_counter()
        await self._workers.pop(pid).aclose()
        return killed_at

    async def aclose(self) -> None:
        """Ends all of them."""
        for worker in self._workers.values():
            await worker.aclose()

    async def _start(self) -> None:
        stack = AsyncExitStack()
        service = await stack.enter_async_context(self._stand.worker(is_to_die=True))
        self._workers[service.pid] = stack


async def kill_some(stand: Stand, fleet: Fleet, kills: int) -> list[float]:
    """One round: fresh jobs for all workers, then some of these are killed, and replaced. How long each kill took."""
    victims = random.sample(fleet.pids, kills)
    jobs: list[Job] = []
    held: dict[int, list[Job]] = {}
    # A ring wakes the worker that has waited longest, so that jobs go around; but no order is promised.
    while not held.keys() >= set(victims) or len(jobs) < _JOBS_A_WORKER * len(fleet.pids):
        job = await stand.enqueue(SILENT)
        jobs.append(job)
        held.setdefault(_pid(await _started(job, attempt=1)), []).append(job)
    async with asyncio.TaskGroup() as round_:
        again = {
            pid: [round_.create_task(_started_again_at(job)) for job in of_pid]
            for pid, of_pid in held.items()
            if pid in victims
        }
        killed_at: dict[int, float] = {}
        for pid in victims:
            await asyncio.sleep(random.uniform(0, _GAP_SECONDS))
            killed_at[pid] = await fleet.kill(pid)
        await fleet.grow(kills)
    for job in jobs:
        await job.cancel()
    return [max(task.result() for task in again[pid]) - killed_at[pid] for pid in victims]


async def _started_again_at(job: Job) -> float:
    await _started(job, attempt=2)
    return time.perf_counter()


async def _started(job: Job, *, attempt: int) -> Started:
    async with asyncio.timeout(_STARTED_SECONDS):
        async for event in job.tail():
            if isinstance(event, Started) and event.attempt == attempt:
                return event
    raise SystemExit(f"Job {job.id!r} ended before attempt {attempt}.")


def _pid(started: Started) -> int:
    return int(started.worker.rpartition(":")[2])


async def run(options: argparse.Namespace) -> None:
    """Kills round by round, and prints."""
    took: list[float] = []
    async with open_stand() as stand, AsyncExitStack() as stack:
        lease_seconds = WorkerSettings.read().lease_seconds
        fleet = Fleet(stand)
        stack.push_async_callback(fleet.aclose)
        await fleet.grow(options.workers)
        while len(took) < options.kills:
            took += await kill_some(stand, fleet, min(options.at_a_time, options.kills - len(took)))
            print(f"{len(took)} kills ...", file=sys.stderr, flush=True)
    show(
        f"SIGKILL to started in s; {options.workers} workers, a lease of {lease_seconds:g} s",
        ["kills", "p50", "p99", "max"],
        [
            [
                f"{len(took)}",
                *(f"{seconds:.2f}" for seconds in (percentile(took, 50), percentile(took, 99), max(took))),
            ],
            ["target", "", f"<= {lease_seconds + MARGIN_SECONDS:.2f}", ""],
        ],
    )
    show_origin()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--kills", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--at-a-time", type=int, default=5, help="killed in one round (default: %(default)s)")
    options = parser.parse_args()
    if options.at_a_time >= options.workers:
        parser.error("--at-a-time: somebody has to be left to take over")
    uvloop.run(run(options))


if __name__ == "__main__":
    main()
