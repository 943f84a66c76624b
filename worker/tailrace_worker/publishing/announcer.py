"""Announces again what a restart or a failover of Redis took back together with the endings that it tells of."""

import asyncio
from typing import Final

from tailrace.broker.client import Broker
from tailrace.broker.outage import Dependent
from tailrace.errors import InfrastructureError
from tailrace.protocol import endings
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.keys import Keys

_RETRY_SECONDS: Final = 1.0


class Announcer:
    """Closes jobs again whose endings the publisher had to send again.

    A job that was enqueued, run and released in the moments that Redis has lost is in no queue any more: no other
    worker comes across its ending. Of a job that is claimed once more the ending is announced twice.
    """

    def __init__(self, broker: Broker, keys: Keys, *, keep_seconds: float) -> None:
        self._broker = broker
        self._keys = keys
        self._keep_seconds = keep_seconds
        self._ended: asyncio.Queue[JobEnding] = asyncio.Queue()
        self._announcing = Dependent("endings are not announced again")

    def add(self, ended: JobEnding) -> None:
        """An ending is in its stream again."""
        self._ended.put_nowait(ended)

    async def run(self) -> None:
        """Announces until it is cancelled."""
        while True:
            ended = await self._ended.get()
            try:
                await endings.close(self._broker, self._keys, ended, keep_seconds=self._keep_seconds)
            except InfrastructureError as error:
                self._announcing.fails(error)
                self._ended.put_nowait(ended)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._announcing.works()
