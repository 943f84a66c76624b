"""Leases outlive a busy event loop, and not a wedged one."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event as ThreadEvent
from threading import Thread
from typing import Any

import pytest
from redis import Redis

from tailrace import Job, Settings
from tailrace.protocol.keys import Keys
from tailrace_worker.queueing.claims import claim_command
from tailrace_worker.queueing.leases import LeaseTimings
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

LEASE_SECONDS = 1.0
STALL_SECONDS = 3.0


@contextmanager
def rival(settings: Settings) -> Generator[list[bytes]]:
    """Another worker, in a thread: the event loop of the test does not turn. Gives the jobs that it could claim."""
    redis: Any = Redis.from_url(settings.redis_url, protocol=2)  # pyright: ignore[reportUnknownMemberType]
    claimed: list[bytes] = []
    stopping = ThreadEvent()

    def claim() -> None:
        command = claim_command(
            Keys(settings.prefix), ["default"], "rival", places=9, lease_seconds=60, takes_over_until=10**15
        )
        while not stopping.wait(LEASE_SECONDS / 20):
            claimed.extend(job_id for job_id, *_ in redis.execute_command(*command)[0])

    thread = Thread(target=claim)
    thread.start()
    yield claimed
    stopping.set()
    thread.join()
    redis.close()


def stall() -> None:
    """Keeps the event loop from turning."""
    time.sleep(STALL_SECONDS)


async def begun(job: Job) -> None:
    async for event in job.tail():
        if event.type == "started":
            return


@pytest.mark.parametrize("wedged_after", [10.0, 1.0], ids=["busy", "wedged"])
async def test_a_busy_loop_keeps_its_leases_and_a_wedged_one_loses_them(
    job: Job,
    open_generations: OpenGenerations,
    puppet: Puppet,
    settings: Settings,
    wedged_after: float,
) -> None:
    timings = LeaseTimings(wedged_seconds=wedged_after)
    async with (
        open_generations(lease_seconds=LEASE_SECONDS) as generations,
        running_worker(generations, lease_timings=timings),
    ):
        await begun(job)
        with rival(settings) as claimed:
            stall()
        if wedged_after > STALL_SECONDS:
            assert claimed == []
            puppet.finish()
            async with asyncio.timeout(10):
                assert (await job.answer()).finish_reason == "stop"
        else:
            assert claimed == [job.id.encode()]
            async with asyncio.timeout(10):
                await puppet.closed.wait()
