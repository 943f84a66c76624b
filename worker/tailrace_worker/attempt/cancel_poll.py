"""`CancelPoll`: one batched poll of the cancel keys of all jobs of a worker."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

from redis.asyncio import Redis

from tailrace.broker.client import refused
from tailrace.broker.outage import Dependent
from tailrace.broker.wire import Wire, packed
from tailrace.errors import InfrastructureError
from tailrace.protocol.keys import Keys


class CancelRequested(Exception):
    """A client has set the job's cancel key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CancelPoll:
    """The poll of all watched jobs' cancel keys, by one `MGET` per tick. If no job is watched, it sends nothing."""

    def __init__(self, redis: Redis, keys: Keys, *, tick_seconds: float) -> None:
        """Start without jobs.

        Args:
            redis: The client whose connection settings are used.
            keys: The keys of the jobs' side.
            tick_seconds: The time between two polls.
        """
        self._wire = Wire(redis)
        self._keys = keys
        self._tick_seconds = tick_seconds
        self._watched: dict[str, Callable[[CancelRequested], None]] = {}
        self._command = b""
        """The packed `MGET` of all watched keys; empty after they have changed. Most ticks read the same keys as the
        tick before."""
        self._anything = asyncio.Event()
        self._reading = Dependent("cancel requests are not read")

    @contextmanager
    def watch(self, job_id: str, on_request: Callable[[CancelRequested], None]) -> Generator[None]:
        """Watch a job's cancel key while the block runs.

        Args:
            job_id: The job's id.
            on_request: Called at each tick at which the key is there, with the reason of the request.
        """
        key = self._keys.cancel(job_id)
        self._watched[key] = on_request
        self._command = b""
        self._anything.set()
        try:
            yield
        finally:
            del self._watched[key]
            self._command = b""
            if not self._watched:
                self._anything.clear()

    async def run(self) -> None:
        """Poll until the task is cancelled."""
        async with self._wire:
            while True:
                if not self._anything.is_set():
                    self._reading.works()
                await self._anything.wait()
                keys = list(self._watched)
                if not keys:
                    # The jobs that were watched are over already.
                    continue
                try:
                    reasons = await self._read(keys)
                except InfrastructureError as error:
                    self._reading.fails(error)
                else:
                    self._reading.works()
                    for key, reason in zip(keys, reasons, strict=True):
                        # A job may have ended while the reply was on its way.
                        if reason is not None and key in self._watched:
                            self._watched[key](CancelRequested(reason.decode(errors="replace")))
                await asyncio.sleep(self._tick_seconds)

    async def _read(self, keys: list[str]) -> list[bytes | None]:
        command = self._command = self._command or packed("MGET", *keys)
        if not self._wire.is_connected:
            await self._wire.connect()
        await self._wire.check_role()
        (reasons,) = await self._wire.exchange(command, 1)
        if isinstance(reasons, Exception):
            raise refused(reasons, "MGET", *keys)
        read: list[bytes | None] = reasons
        return read
