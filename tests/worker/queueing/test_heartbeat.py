"""A worker's sign of life, and what a worker costs that has nothing to do."""

import asyncio
import time
from typing import Any

import pytest

from tailrace import BrokerUnavailable, GenerationRequest, Tailrace
from tailrace.broker.client import Broker, Command
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.heartbeat import HeartbeatTimings, beating
from tests.support.eventually import eventually
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

QUICK = HeartbeatTimings(beat_seconds=0.01)


async def test_a_worker_tells_what_it_does_while_it_lives(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
) -> None:
    async def runs(number: int) -> bool:
        workers = (await tailrace.fleet()).workers
        return [worker.running for worker in workers] == [number]

    async with (
        open_generations("host:1", max_jobs=7, queues="default,batch") as generations,
        running_worker(generations) as worker,
    ):
        async with beating(generations, worker, timings=QUICK):
            await eventually(lambda: runs(0))
            (told,) = (await tailrace.fleet()).workers
            assert (told.name, told.max_jobs, told.queues) == ("host:1", 7, ("default", "batch"))
            assert (told.providers, told.problems) == (("openai",), {})
            assert [queue.name for queue in (await tailrace.fleet()).queues] == ["batch", "default"]
            await tailrace.enqueue(request_)
            await eventually(lambda: runs(1))
            puppet.finish()
            await eventually(lambda: runs(0))
        assert (await tailrace.fleet()).workers == ()


async def test_a_redis_that_is_away_stops_no_beat(
    tailrace: Tailrace, open_generations: OpenGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    pipeline = Broker.pipeline

    async def failing_twice(self: Broker, *commands: Command) -> list[Any]:
        tries.append(len(commands))
        if len(tries) <= 2:
            raise BrokerUnavailable("away")
        return await pipeline(self, *commands)

    async with open_generations("host:1") as generations, running_worker(generations) as worker:
        with monkeypatch.context() as away:
            away.setattr(Broker, "pipeline", failing_twice)
            async with beating(generations, worker, timings=QUICK):
                await eventually(lambda: len(tries) > 4)
        # The queues were told of when the first beat came through, and not again.
        first, second, third, fourth, *_ = tries
        assert first == second == third > fourth
        assert [queue.name for queue in (await tailrace.fleet()).queues] == ["default"]


async def test_nobody_waits_for_a_worker_to_take_its_name_away(
    open_generations: OpenGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object) -> None:
        await asyncio.Event().wait()

    async with open_generations() as generations, running_worker(generations) as worker, asyncio.timeout(5):
        with monkeypatch.context() as away:
            away.setattr(Broker, "pipeline", hangs)
            async with beating(generations, worker, timings=HeartbeatTimings(leave_seconds=0.01)):
                pass


class TestAtRest:
    """The only client of its server, but for the one that counts."""

    @pytest.fixture
    def broker_url(self, own_broker: EmbeddedBroker) -> str:
        return own_broker.url

    @pytest.mark.parametrize("queues", ["default", "interactive,batch"])
    async def test_a_worker_sends_less_than_ten_commands_a_second(
        self, open_generations: OpenGenerations, queues: str
    ) -> None:
        async with open_generations(queues=queues) as generations, running_worker(generations) as worker:
            broker = generations.broker

            async def calls() -> dict[str, int]:
                """How often each command ran, also within scripts, but for the counting itself."""
                stats: dict[str, dict[str, Any]] = await broker.call("INFO", "commandstats")
                names = (name for name in stats if name not in {"cmdstat_info", "cmdstat_config|resetstat"})
                return {name.removeprefix("cmdstat_"): int(stats[name]["calls"]) for name in names}

            async def have_come(beats: int) -> bool:
                return (await calls()).get("zremrangebyscore", 0) >= beats

            async with beating(generations, worker):
                await eventually(lambda: have_come(1))
                await broker.call("CONFIG", "RESETSTAT")
                began = time.monotonic()
                # Two periods from beat to beat: in one, a slow poll at its edge counts for a tenth.
                await eventually(lambda: have_come(2))
                counted, seconds = await calls(), time.monotonic() - began
        assert seconds > 8
        assert "blpop" in counted
        assert sum(counted.values()) / seconds < 10, counted
