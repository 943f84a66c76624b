"""A worker's sign of life, for `tailrace status`."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from arq.worker import Worker

from tailrace.broker.client import ms
from tailrace.errors import InfrastructureError
from tailrace.protocol.fleet import beat_commands, leave_commands, serve_commands
from tailrace_worker.generation import Generations

_logger = logging.getLogger(__name__)

_BEAT_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0
_LEAVE_SECONDS: Final = 1.0
"""Nobody waits for a worker to take its name away: the name goes by itself a little later."""


@asynccontextmanager
async def beating(generations: Generations, worker: Worker) -> AsyncGenerator[None]:
    """Tells every 5 s who works, while the block runs."""
    async with asyncio.TaskGroup() as beside:
        task = beside.create_task(_beat_until_cancelled(generations, worker))
        try:
            yield
        finally:
            task.cancel()
    with suppress(InfrastructureError, TimeoutError):
        async with asyncio.timeout(_LEAVE_SECONDS):
            await generations.broker.pipeline(*leave_commands(generations.keys, generations.worker))


async def _beat_until_cancelled(generations: Generations, worker: Worker) -> None:
    broker, keys, settings = generations.broker, generations.keys, generations.settings
    first = serve_commands(keys, settings.queues, at=ms(time.time()))
    while True:
        beat = beat_commands(
            keys,
            generations.worker,
            queues=settings.queues,
            running=sum(not task.done() for task in worker.tasks.values()),
            max_jobs=settings.max_jobs,
            at=ms(time.time()),
            providers=generations.calls.usable,
            problems=generations.calls.problems,
        )
        try:
            await broker.pipeline(*first, *beat)
            first = ()
        except InfrastructureError as error:
            _logger.debug("no sign of life can be given: %s", error)
            # Without one for 8 s, jobs that only this worker could run count as jobs that nobody can.
            await asyncio.sleep(min(_RETRY_SECONDS, _BEAT_SECONDS))
        else:
            await asyncio.sleep(_BEAT_SECONDS)
