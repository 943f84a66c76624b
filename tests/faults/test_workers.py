"""Workers that die, freeze, come back and lose their Redis: nothing is lost or doubled, and there is one ending."""

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from typing import Final

import pytest

from tailrace import Answer, Event, GenerationRequest, Job, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_retry
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.simulator import Scenario, Simulator
from tests.support.eventually import eventually
from tests.support.processes import WorkerProcess, worker_process
from tests.support.proxy import BEGINS, Proxy

LEASE_SECONDS: Final = 2.0
QUICK: Final = {"TAILRACE_LEASE_SECONDS": str(LEASE_SECONDS), "TAILRACE_MAX_ATTEMPTS": "20"}
STREAM: Final = "demo?pieces=300&interval_ms=10"
SILENT: Final = "demo?pieces=3&first_token_ms=3600000"

pytestmark = pytest.mark.timeout(120)


def asking(model: str) -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": "openai", "model": model, "messages": [{"role": "user", "content": "Tell me."}]}
    )


async def said(job: Job, type_: str, attempt: int = 1) -> None:
    """Waits until an attempt has said something of a type."""
    async with asyncio.timeout(40):
        async for event in job.tail():
            if event.type == type_ and event.id.attempt >= attempt:
                return


async def ended(job: Job) -> list[Event]:
    async with asyncio.timeout(60):
        return [event async for event in job.tail()]


def assert_whole(events: list[Event], model: str, *, reasons: list[str | None] | None = None) -> None:
    """An unbroken SEQ, one ending, and the text of the last attempt is exactly what the simulator sent."""
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events if event.type in {"completed", "failed", "cancelled"}] == ["completed"]
    assert events[-1].type == "completed"
    answer = Answer()
    for event in events:
        answer.add(event)
    assert answer.text == Scenario.parse(model).text_sent
    if reasons is not None:
        assert [event.reason for event in events if event.type == "started"] == reasons


async def assert_nothing_left(broker: Broker, settings: Settings, job: Job) -> None:
    """Waits until the job is released: nothing of it is left on the queue's side."""
    keys = Keys(settings.prefix)

    async def released() -> bool:
        return not await broker.call("ZCARD", keys.running("default"))

    await eventually(released)
    assert await broker.call("ZCARD", keys.queue("default")) == 0
    assert await broker.call("EXISTS", arq_job(job.id), arq_in_progress(job.id), arq_retry(job.id)) == 0


@pytest.mark.parametrize(
    ("phase", "trap", "model", "reasons"),
    [
        ("claimed", BEGINS, STREAM, ["worker_lost"]),
        ("before the first token", None, STREAM + "&first_token_ms=2000", [None, "worker_lost"]),
        ("streaming", None, STREAM, [None, "worker_lost"]),
        ("ended but not released", b"finish_reason", "demo?pieces=5&interval_ms=1", [None]),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and "?" not in value else "",
)
async def test_a_job_survives_its_worker_being_killed(
    tailrace: Tailrace,
    settings: Settings,
    simulator: Simulator,
    broker: Broker,
    phase: str,
    trap: bytes | None,
    model: str,
    reasons: list[str | None],
) -> None:
    async with Proxy(settings.redis_url) as proxy:
        behind = settings.model_copy(update={"redis_url": proxy.url})
        async with (
            worker_process(behind, simulator, **QUICK) as doomed,
            worker_process(settings, simulator, **QUICK, TAILRACE_QUEUES="other") as idle,
        ):
            proxy.trap = trap
            job = await tailrace.enqueue(asking(model))
            async with asyncio.timeout(20):
                if trap is not None:
                    await proxy.requested(trap)
                elif phase == "streaming":
                    await said(job, "delta")
                else:
                    await simulator.journal.until(lambda entry: entry.outcome == "open")
            doomed.signal(signal.SIGKILL)
            await doomed.ended()
            idle.signal(signal.SIGKILL)
            async with worker_process(settings, simulator, **QUICK) as heir:
                assert_whole(await ended(job), model, reasons=reasons)
                await assert_nothing_left(broker, settings, job)
                await eventually(lambda: "jobs of lost workers are taken over" in heir.log)
    assert heir.log.count(f":{doomed.pid} is lost: it no longer renews the leases of its 1 jobs") == 1
    async for ending in tailrace.endings("archive"):
        assert (ending.job_id, ending.ending) == (job.id, "completed")
        break


async def test_a_suspended_worker_that_comes_back_touches_nothing(
    tailrace: Tailrace, settings: Settings, simulator: Simulator, broker: Broker
) -> None:
    async with worker_process(settings, simulator, **QUICK) as zombie:
        job = await tailrace.enqueue(asking(STREAM))
        silent = await tailrace.enqueue(asking(SILENT))
        await said(job, "delta")
        await said(silent, "started")
        await simulator.journal.until(lambda entry: entry.model == SILENT)
        requests = list(simulator.journal.entries)
        zombie.signal(signal.SIGSTOP)
        async with worker_process(settings, simulator, **QUICK):
            await said(job, "delta", attempt=2)
            await said(silent, "started", attempt=2)
            zombie.signal(signal.SIGCONT)
            # Both of its connections are closed, the silent one's too.
            await eventually(lambda: all(request.closed_at for request in requests))
            assert_whole(await ended(job), STREAM, reasons=[None, "worker_lost"])
            assert (await silent.status()).cursor.attempt == 2
            await silent.cancel()
            assert [event.type for event in await ended(silent)] == ["queued", "started", "started", "cancelled"]
            await assert_nothing_left(broker, settings, job)


async def test_a_silent_zombie_whose_successor_dies_too_does_not_get_its_job_back(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, **QUICK) as zombie:
        job = await tailrace.enqueue(asking(SILENT))
        await said(job, "started")
        zombie.signal(signal.SIGSTOP)
        async with worker_process(settings, simulator, **QUICK) as successor:
            await said(job, "started", attempt=2)
            successor.signal(signal.SIGSTOP)
            zombie.signal(signal.SIGCONT)
            # The zombie may run the job again, as any worker may: by a claim, in an attempt of its own.
            await said(job, "started", attempt=3)
            await job.cancel()
            events = await ended(job)
    assert [event.type for event in events] == ["queued", "started", "started", "started", "cancelled"]
    assert [event.reason for event in events if event.type == "started"] == [None, "worker_lost", "worker_lost"]
    assert [event.id.attempt for event in events] == [0, 1, 2, 3, 3]


async def test_dropped_connections_neither_lose_nor_repeat_anything(
    tailrace: Tailrace, settings: Settings, simulator: Simulator, broker: Broker
) -> None:
    async with worker_process(settings, simulator, **QUICK):
        jobs = [await tailrace.enqueue(asking(STREAM)) for _ in range(10)]
        for job in jobs:
            await said(job, "delta")
        seen = 0
        async for event in jobs[0].tail():
            seen += event.type == "delta"
            if seen % 20 == 0:
                await broker.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        for job in jobs:
            assert_whole(await ended(job), STREAM, reasons=[None])


class TestWithABrokerOfItsOwn:
    """Redis itself is killed, and comes back with its append-only file."""

    @pytest.fixture
    def broker_url(self, own_broker: EmbeddedBroker) -> str:
        return own_broker.url

    @pytest.mark.parametrize(
        ("how", "away_seconds"),
        [("killed", 0.0), ("killed", 2 * LEASE_SECONDS), ("suspended", 2 * LEASE_SECONDS)],
    )
    async def test_no_job_is_started_twice_by_an_outage_of_redis(
        self,
        tailrace: Tailrace,
        settings: Settings,
        simulator: Simulator,
        broker: Broker,
        own_broker: EmbeddedBroker,
        how: str,
        away_seconds: float,
    ) -> None:
        model = "demo?pieces=350&interval_ms=20"
        server = int((await broker.call("INFO", "server"))["process_id"])
        async with (
            worker_process(settings, simulator, **QUICK),
            worker_process(settings, simulator, **QUICK),
        ):
            jobs = [await tailrace.enqueue(asking(model)) for _ in range(20)]
            for job in jobs:
                await said(job, "delta")
            if how == "killed":
                own_broker.kill()
            else:
                os.kill(server, signal.SIGSTOP)
            await asyncio.sleep(away_seconds)  # how long it is away is what the test is about
            if how == "killed":
                await asyncio.to_thread(own_broker.start)
            else:
                os.kill(server, signal.SIGCONT)
            for job in jobs:
                assert_whole(await ended(job), model, reasons=[None])


async def test_two_hundred_jobs_survive_workers_that_are_killed_at_random(
    tailrace: Tailrace, settings: Settings, simulator: Simulator, broker: Broker
) -> None:
    model = "demo?pieces=100&interval_ms=10"
    chance = random.Random(7)  # noqa: S311
    async with AsyncExitStack() as stack:

        async def start() -> None:
            workers.append(
                await stack.enter_async_context(worker_process(settings, simulator, **QUICK, TAILRACE_MAX_JOBS="20"))
            )

        workers: list[WorkerProcess] = []
        await asyncio.gather(*(start() for _ in range(3)))
        jobs = [await tailrace.enqueue(asking(model)) for _ in range(200)]
        for at in range(0, 200, 40):
            await said(jobs[at], "delta")
            victim = workers.pop(chance.randrange(len(workers)))
            victim.signal(signal.SIGKILL)
            await start()
        streams = await asyncio.gather(*(ended(job) for job in jobs))
        await assert_nothing_left(broker, settings, jobs[-1])
    for events in streams:
        assert_whole(events, model)
    assert sum(event.type == "started" for events in streams for event in events) > 200
