"""The worker process: everything that is opened is opened here, and closed when it is left."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from arq import ArqRedis
from arq.worker import Worker, func

from tailrace.broker import Broker, open_redis
from tailrace.enqueue import FUNCTION
from tailrace.keys import Keys
from tailrace_worker.cancellation import CancelPoll
from tailrace_worker.generation import Generations, generate
from tailrace_worker.providers import open_providers
from tailrace_worker.publisher import Publisher
from tailrace_worker.settings import WorkerSettings

_logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


@asynccontextmanager
async def open_generations(settings: WorkerSettings) -> AsyncGenerator[Generations]:
    """What the jobs of a worker share, with what runs beside them: one task each per worker."""
    redis = open_redis(settings.redis_url)
    broker = Broker(redis)
    keys = Keys(settings.prefix)
    publisher = Publisher(redis, keys, settings)
    cancel_poll = CancelPoll(broker, keys, tick_seconds=settings.cancel_poll_ms / 1000)
    try:
        async with open_providers() as providers, asyncio.TaskGroup() as beside:
            tasks = [beside.create_task(publisher.run()), beside.create_task(cancel_poll.run())]
            try:
                yield Generations(
                    broker=broker,
                    keys=keys,
                    settings=settings,
                    providers=providers,
                    publisher=publisher,
                    cancel_poll=cancel_poll,
                    worker=f"{socket.gethostname()}:{os.getpid()}",
                )
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        await broker.aclose()


async def run_worker(settings: WorkerSettings) -> None:
    """Runs jobs until SIGINT or SIGTERM; what still runs after the grace time goes back into the queue.

    Raises:
        BrokerUnavailable: Redis cannot be reached at the start.
        BrokerRefused: Redis does not let us in.
    """
    async with open_generations(settings) as generations:
        await generations.broker.greet(settings.redis_url)
        worker = Worker(
            functions=[
                func(
                    generate,
                    name=FUNCTION,
                    # Ours end a job with an ending; arq's would not, so they come later.
                    timeout=settings.total_seconds + 60,
                    max_tries=settings.max_attempts + 1,
                )
            ],
            queue_name=generations.keys.queue(settings.queue),
            redis_pool=ArqRedis(connection_pool=open_redis(settings.redis_url).connection_pool),
            max_jobs=settings.max_jobs,
            job_completion_wait=max(1, round(settings.grace_seconds)),
            poll_delay=_POLL_SECONDS,
            keep_result=0,
            log_results=False,
            job_serializer=_to_json,
            job_deserializer=json.loads,
            ctx={"generations": generations},
        )
        _logger.info("worker %s runs jobs of the queue %r", generations.worker, settings.queue)
        try:
            await worker.async_run()
        except asyncio.CancelledError:
            # arq ends its own main task when a signal comes; a cancellation of ours goes on.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
        finally:
            await worker.close()


def _to_json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
