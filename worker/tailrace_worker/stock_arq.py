"""What a service's own `arq.Worker` needs to run generation jobs beside its own functions, on a queue of its own.

    class WorkerSettings:
        functions = [stock_arq.generate]
        on_startup = stock_arq.on_startup
        ...

Such a worker scans and recovers as arq does: slowly. This module is an entry point: it reads the settings when it is
imported, and arq's limits are set above ours, so that ours end a job with an ending.
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
"""For `functions`."""
job_serializer: Final[Callable[[dict[str, Any]], bytes]] = to_json


def job_deserializer(body: bytes) -> dict[str, Any]:
    """How bodies are read. arq logs the beginnings of arguments, but not those of `generate`."""
    read: dict[str, Any] = json.loads(body)
    return sealed(read) if read["f"] == generate.name else read


async def on_startup(ctx: dict[Any, Any]) -> None:
    """Opens what the jobs share.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis does not let us in.
    """
    pool: ArqRedis = ctx["redis"]
    queue = pool.default_queue_name.removeprefix(Keys(_SETTINGS.prefix).queue(""))
    shared = ctx["tailrace"] = _Shared(_SETTINGS.model_copy(update={"queues": (queue,)}))
    ctx["generations"] = await shared.open()


async def on_shutdown(ctx: dict[Any, Any]) -> None:
    """Closes it. arq calls this too where it could not start."""
    if shared := ctx.get("tailrace"):
        await shared.close()


class _Shared:
    """`open_generations`, entered and left in one task: arq calls startup and shutdown from different ones."""

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
        # What runs beside the jobs ends unasked by a defect alone: the worker ends with it, as our own does.
        if not self._closing.is_set():
            signal.raise_signal(signal.SIGTERM)
