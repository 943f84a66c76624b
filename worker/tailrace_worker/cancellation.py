"""One batched poll of the cancel keys of all the jobs of a worker."""

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from tailrace.broker import Broker
from tailrace.errors import InfrastructureError
from tailrace.keys import Keys

_logger = logging.getLogger(__name__)


class CancelRequested(Exception):
    """Somebody set the job's cancel key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CancelPoll:
    """Reads the cancel keys of all watched jobs in one `MGET` a tick; with nothing to watch it asks nothing."""

    def __init__(self, broker: Broker, keys: Keys, *, tick_seconds: float) -> None:
        self._broker = broker
        self._keys = keys
        self._tick_seconds = tick_seconds
        self._watched: dict[str, Callable[[CancelRequested], None]] = {}
        self._anything = asyncio.Event()

    @contextmanager
    def watch(self, job_id: str, on_request: Callable[[CancelRequested], None]) -> Generator[None]:
        """Calls `on_request` at the first tick at which the job's cancel key is there."""
        key = self._keys.cancel(job_id)
        self._watched[key] = on_request
        self._anything.set()
        try:
            yield
        finally:
            del self._watched[key]
            if not self._watched:
                self._anything.clear()

    async def run(self) -> None:
        """Polls until it is cancelled."""
        while True:
            await self._anything.wait()
            keys = list(self._watched)
            if not keys:
                # What was watched is over already.
                continue
            try:
                reasons: list[bytes | None] = await self._broker.call("MGET", *keys)
            except InfrastructureError as error:
                _logger.warning("cancel keys cannot be read: %s", error)
            else:
                for key, reason in zip(keys, reasons, strict=True):
                    # A job may have ended while the reply was on its way.
                    if reason is not None and key in self._watched:
                        self._watched[key](CancelRequested(reason.decode(errors="replace")))
            await asyncio.sleep(self._tick_seconds)
