"""Redis refuses for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tailrace import Job, Tailrace
from tailrace.errors import BrokerRefused
from tailrace_worker.generation import GenerationTimings
from tailrace_worker.queueing.arq_function import ArqTimings
from tests.worker.conftest import OpenGenerations, Puppet, running_worker


@pytest.mark.parametrize("step", ["EVAL", "HMGET"], ids=["begin", "announcement"])
async def test_a_redis_that_refuses_for_a_while_costs_no_job_its_ending(
    job: Job,
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """arq ends a job whose function raises, and by itself it would end it without an ending of ours."""
    puppet.finish()
    async with open_generations() as generations:
        refused = asyncio.Event()
        broker = generations.broker

        def refusing(of: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def call(*commands: Any) -> Any:
                first = commands[0] if isinstance(commands[0], str) else commands[0][0]
                if first == step and not refused.is_set():
                    refused.set()
                    raise BrokerRefused("Redis refused: OOM command not allowed when used memory > 'maxmemory'.")
                return await of(*commands)

            return call

        monkeypatch.setattr(broker, "call", refusing(broker.call))
        monkeypatch.setattr(broker, "pipeline", refusing(broker.pipeline))
        async with running_worker(generations), asyncio.timeout(10):
            await refused.wait()
            assert (await job.answer()).finish_reason == "stop"
            async for ended in tailrace.endings("readers"):
                assert ended.job_id == job.id
                break


async def test_a_job_whose_ending_is_held_up_for_longer_than_arq_waits_gets_it_all_the_same(
    job: Job,
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    puppet.finish()
    short = ArqTimings(timeout_margin_seconds=-0.5)
    async with open_generations(total_seconds=1, timings=GenerationTimings(hand_over_seconds=0.1)) as generations:
        wire, tried = generations.publisher.link.wire, asyncio.Event()
        exchange = wire.exchange

        async def refused(payload: bytes, replies: int) -> list[Any]:
            if b"completed" in payload:
                tried.set()
                raise BrokerRefused("Redis refused: OOM command not allowed")
            return await exchange(payload, replies)

        monkeypatch.setattr(wire, "exchange", refused)
        async with running_worker(generations, arq_timings=short) as worker, asyncio.timeout(10):
            await tried.wait()
            # Longer than arq lets a function run.
            await asyncio.wait(worker.tasks.values(), timeout=1.5)
            monkeypatch.setattr(wire, "exchange", exchange)
            puppet.finish()
            assert (await job.answer()).finish_reason == "stop"
            async for ended in tailrace.endings("readers"):
                assert ended.job_id == job.id
                break
