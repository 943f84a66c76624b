"""Runs generation jobs in a service's own `arq.Worker`, on a separate queue, beside the service's own functions.

    class WorkerSettings:
        functions = [stock_arq.generate]
        on_startup = stock_arq.on_startup
        ...

Such a worker finds and recovers jobs as slowly as arq does. This module is an entry point, so it reads the settings
when it is imported. arq's limits are above those of the settings, which end a job with an ending.
"""

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any, Final

from arq import ArqRedis
from arq.worker import Function

from tailrace.protocol.keys import Keys
from tailrace_worker.app import open_generations
from tailrace_worker.generation import Generations
from tailrace_worker.queueing.arq_function import arq_function
from tailrace_worker.queueing.job_body import sealed, to_json
from tailrace_worker.settings import WorkerSettings

_SETTINGS: Final = WorkerSettings.read()

generate: Final[Function] = arq_function(_SETTINGS)
"""The function for arq's `functions`."""
job_serializer: Final[Callable[[dict[str, Any]], bytes]] = to_json


def job_deserializer(body: bytes) -> dict[str, Any]:
    """Read a job's body from JSON. The arguments of `generate` are wrapped, so that arq does not log them.

    Args:
        body: The body.
    """
    read: dict[str, Any] = json.loads(body)
    return sealed(read) if read["f"] == generate.name else read


async def on_startup(ctx: dict[Any, Any]) -> None:
    """Open what the jobs share. arq calls this.

    Args:
        ctx: arq's context.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refuses the connection.
    """
    pool: ArqRedis = ctx["redis"]
    queue = pool.default_queue_name.removeprefix(Keys(_SETTINGS.prefix).queue(""))
    shared = ctx["tailrace"] = _Shared(_SETTINGS.model_copy(update={"queues": (queue,)}))
    ctx["generations"] = await shared.open()


async def on_shutdown(ctx: dict[Any, Any]) -> None:
    """Close what the jobs share. arq calls this, also if the worker could not start.

    Args:
        ctx: arq's context.
    """
    if shared := ctx.get("tailrace"):
        await shared.close()


class _Shared:
    """A task that enters and leaves `open_generations`. arq calls startup and shutdown in different tasks."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._opened: asyncio.Future[Generations] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._task: asyncio.Future[None] = asyncio.create_task(self._hold())

    async def open(self) -> Generations:
        either: set[asyncio.Future[Any]] = {self._opened, self._task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            await self._task
        self._task.add_done_callback(self._on_end)
        return self._opened.result()

    async def close(self) -> None:
        self._closing.set()
        await asyncio.wait([self._task])
        if self._opened.done():
            await self._task

    async def _hold(self) -> None:
        async with open_generations(self._settings) as generations:
            self._opened.set_result(generations)
            await self._closing.wait()

    def _on_end(self, _: object) -> None:
        # The background tasks end early only after a defect. Then the worker has to end too, as `tailrace worker` does.
        if not self._closing.is_set():
            signal.raise_signal(signal.SIGTERM)
