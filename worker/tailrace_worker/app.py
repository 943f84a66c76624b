"""The worker process: everything that is opened is opened here, and closed when it is left."""

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.keys import Keys
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelPoll
from tailrace_worker.attempt.rate_limits import Throttle
from tailrace_worker.generation import Generations
from tailrace_worker.providers import check_providers, open_providers
from tailrace_worker.providers.http.wake_batcher import Coalescer
from tailrace_worker.publishing.announcer import Announcer
from tailrace_worker.publishing.publisher import Publisher
from tailrace_worker.queueing.arq_function import arq_function
from tailrace_worker.queueing.claiming import StreamWorker
from tailrace_worker.queueing.heartbeat import beating
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.queueing.redis_check import RedisCheck
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping.guards.judge import open_judge

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_generations(settings: WorkerSettings) -> AsyncGenerator[Generations]:
    """What the jobs of a worker share, with what runs beside them: one task each per worker.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis does not let us in.
    """
    redis = open_redis(settings.redis_url)
    broker = Broker(redis)
    keys = Keys(settings.prefix)
    announcer = Announcer(broker, keys, keep_seconds=settings.keep_seconds)
    publisher = Publisher(redis, keys, settings, on_ended_again=announcer.add)
    # What was read together goes out at once: two paces, each by itself, would make it wait twice.
    coalescer = Coalescer(interval_ms=settings.batch_ms, then=publisher.hurry)
    cancel_poll = CancelPoll(redis, keys, tick_seconds=settings.cancel_poll_ms / 1000)
    try:
        await broker.greet(settings.redis_url)
        async with (
            open_providers(settings.providers, coalescer) as providers,
            open_judge() as judge,
            asyncio.TaskGroup() as beside,
        ):
            tasks = [beside.create_task(each.run()) for each in (publisher, announcer, cancel_poll)]
            try:
                yield Generations(
                    broker=broker,
                    keys=keys,
                    settings=settings,
                    calls=Calls(providers, Throttle(broker, keys), settings),
                    judge=judge,
                    publisher=publisher,
                    cancel_poll=cancel_poll,
                    worker=f"{socket.gethostname()}:{os.getpid()}",
                )
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        await broker.aclose()


def _settle_memory() -> None:
    """Keeps the garbage collector from holding up the loop for tens of milliseconds; switches it on.

    The SDKs are hundreds of thousands of objects that stay. Of those that streams make, as many go as come, and nearly
    all without it: by its own thresholds it would look through what is kept to be sent again several times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


async def _check_redis(settings: WorkerSettings) -> None:
    broker = Broker(open_redis(settings.redis_url))
    try:
        await broker.greet(settings.redis_url)
        async with RedisCheck(broker.redis, Keys(settings.prefix), settings.queues) as redis_check:
            await redis_check.check()
    finally:
        await broker.aclose()


async def run_worker(settings: WorkerSettings) -> None:
    """Runs jobs until SIGINT or SIGTERM; what still runs after the grace time is handed back.

    Raises:
        InvalidSettings: There is no provider that could be called; the message names the variables.
        BrokerUnavailable: Redis cannot be reached at the start.
        BrokerRefused: Redis does not let us in, or not do what a worker has to.
    """
    check_providers(settings.providers)
    await _check_redis(settings)
    async with (
        open_generations(settings) as generations,
        Leases(
            settings.redis_url,
            generations.keys,
            lease_seconds=settings.lease_seconds,
            life_seconds=settings.running_seconds,
        ) as leases,
    ):
        redis = open_redis(settings.redis_url)
        worker = StreamWorker(generations, arq_function(settings), redis, leases)
        _settle_memory()
        _logger.info("worker %s runs jobs of %s", generations.worker, ", ".join(settings.queues))
        try:
            async with beating(generations, worker):
                await worker.async_run()
        finally:
            await redis.aclose()
