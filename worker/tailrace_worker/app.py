"""The worker process. All resources are opened here, and closed at the end."""

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
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.generation import Generations
from tailrace_worker.providers import check_providers, open_providers
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
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
    """Open what the jobs of a worker share, and start the worker's background tasks.

    Args:
        settings: The settings of the worker.

    Yields:
        The `Generations` that runs the jobs.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refuses the connection.
    """
    redis = open_redis(settings.redis_url)
    broker = Broker(redis)
    keys = Keys(settings.prefix)
    announcer = Announcer(broker, keys, keep_seconds=settings.keep_seconds)
    publisher = Publisher(redis, keys, settings, on_ended_again=announcer.add)
    # Pieces that were read together are sent at once. If reading and sending had separate intervals, they would wait
    # twice.
    wake_batcher = WakeBatcher(interval_ms=settings.batch_ms, then=publisher.hurry)
    cancel_poll = CancelPoll(redis, keys, tick_seconds=settings.cancel_poll_ms / 1000)
    try:
        await broker.greet(settings.redis_url)
        async with (
            open_providers(settings.providers, wake_batcher) as providers,
            open_judge() as judge,
            asyncio.TaskGroup() as beside,
        ):
            tasks = [beside.create_task(each.run()) for each in (publisher, announcer, cancel_poll)]
            try:
                yield Generations(
                    broker=broker,
                    keys=keys,
                    settings=settings,
                    calls=Calls(providers, RateLimits(broker, keys), settings),
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
    """Switch the garbage collector on, with thresholds at which it does not hold up the event loop for tens of ms.

    The SDKs have hundreds of thousands of objects, which stay. The objects of streams are freed as fast as they are
    made, nearly all without the collector. With its default thresholds, it would search the resend buffer several times
    per second.
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
    """Run jobs until SIGINT or SIGTERM. Jobs that still run after the grace time are handed back.

    Args:
        settings: The settings of the worker.

    Raises:
        InvalidSettings: No provider can be called. The message names the variables to set.
        BrokerUnavailable: Redis cannot be reached at the start.
        BrokerRefused: Redis refuses the connection, or commands that a worker needs.
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
