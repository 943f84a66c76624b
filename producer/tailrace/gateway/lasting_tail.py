"""`LastingTail`: a tail that waits for Redis for as long as its client stays."""

import asyncio
from typing import Final, Self

from tailrace import BrokerUnavailable, EntryId, Event, Job, KeepAlive, Tail
from tailrace.asgi import KEEP_ALIVE_SECONDS

_PAUSE_SECONDS: Final = 1.0
"""The pause in seconds before Redis is tried again, after a tail has tried for the settings' `reconnect_seconds`."""


class LastingTail:
    """The events of a job for a client that stays while Redis is away.

    Args:
        job: The job.
        tail: A tail of the job that was opened.
        after: The cursor of the tail.
    """

    def __init__(self, job: Job, tail: Tail[Event | KeepAlive], after: EntryId) -> None:
        self.job_id: str = job.id
        """The id of the job."""
        self._job = job
        self._tail = tail
        self._cursor = after

    @classmethod
    async def open(cls, job: Job, after: EntryId) -> Self:
        """Open a tail. This first read does not wait for Redis for longer than any tail does.

        Args:
            job: The job.
            after: The cursor after which the events begin.

        Returns:
            The tail.

        Raises:
            JobNotFound: The job has no stream.
            InvalidCursor: The cursor is ahead of the stream.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        return cls(job, await job.open_tail(after=after, keep_alive_seconds=KEEP_ALIVE_SECONDS), after)

    @property
    def at_end(self) -> bool:
        """True if the cursor of a tail that was just opened is at the ending."""
        return self._tail.at_end

    async def take(self) -> list[Event | KeepAlive]:
        """Wait for the next events.

        Returns:
            The events that are ready together, or a sign of life after a silence; none after the ending.

        Raises:
            JobNotFound: The stream went away.
            BrokerRefused: Redis refused to read it.
        """
        while True:
            try:
                event = await anext(self._tail)
            except BrokerUnavailable:
                # Before the pause: it may be cancelled, and a tail that has given up looks like one that has ended.
                self._tail = self._job.tail(after=self._cursor, keep_alive_seconds=KEEP_ALIVE_SECONDS)
                await asyncio.sleep(_PAUSE_SECONDS)
            except StopAsyncIteration:
                return []
            else:
                events = [event, *self._tail.take_ready()]
                self._cursor = events[-1].id
                return events

    async def aclose(self) -> None:
        """Leave the tail. A task that waits in `take` gets nothing."""
        await self._tail.aclose()
