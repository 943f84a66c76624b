"""`Announcer`: announces endings again after a restart or a failover of Redis has lost them."""

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
    """The task that closes jobs again if the publisher had to send their endings again.

    If Redis has lost all that happened from a job's enqueue to its release, the job is in no queue, and no other worker
    finds its ending and announces it. If a job is claimed once more, its ending is announced twice.
    """

    def __init__(self, broker: Broker, keys: Keys, *, keep_seconds: float) -> None:
        """Start without endings.

        Args:
            broker: The commands' connection to Redis.
            keys: The keys of Redis.
            keep_seconds: How long the keys of a job live after its ending.
        """
        self._broker = broker
        self._keys = keys
        self._keep_seconds = keep_seconds
        self._ended: asyncio.Queue[JobEnding] = asyncio.Queue()
        self._announcing = Dependent("endings are not announced again")

    def add(self, ended: JobEnding) -> None:
        """Announce an ending later, because it is in its stream again.

        Args:
            ended: The ending and its job.
        """
        self._ended.put_nowait(ended)

    async def run(self) -> None:
        """Announce endings until the task is cancelled."""
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
