"""`Leaving`: jobs whose clients cannot come back are cancelled when their clients have left."""

import asyncio
import logging
from collections import Counter
from typing import Final

from tailrace import InfrastructureError, Job, JobNotFound

_logger = logging.getLogger(__name__)

_REASON: Final = "The client left."
_TRIES: Final = 5
"""How often Redis is asked to cancel a job."""
_PAUSE_SECONDS: Final = 2.0
"""The pause after Redis could not be reached."""
_ENDING_SECONDS: Final = 5.0
"""How long the cancels may take when the gateway ends."""


class Leaving:
    """Counts the readers of jobs whose protocol cannot come back to an answer, and cancels the jobs that have none.

    A gateway knows only its own readers. That is enough, because a client finds such a job again only with an
    `Idempotency-Key`, and jobs with one are not counted: neither here nor in another gateway does anybody wait for a
    job that is cancelled here.

    - A client that leaves while the gateway drains has left: the job is cancelled, at the latest when the gateway ends.
    - A stream that the gateway itself breaks off, because the grace time is over, was not left: the job goes on.
    - A gateway that dies cancels nothing. Its jobs go on to their endings, within `TAILRACE_TOTAL_SECONDS` an attempt.

    Args:
        after_seconds: How long a job may be without a reader.
    """

    def __init__(self, *, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._readers: Counter[str] = Counter()
        self._cancelling: dict[str, asyncio.Task[None]] = {}
        self._is_ending = asyncio.Event()

    def join(self, job: Job) -> None:
        """Count a reader.

        Args:
            job: The job that it reads.
        """
        self._readers[job.id] += 1
        if waiting := self._cancelling.pop(job.id, None):
            waiting.cancel()

    def leave(self, job: Job, *, has_left: bool) -> None:
        """Count a reader no more.

        Args:
            job: The job that it read.
            has_left: True if the job is of no use to the reader any more; false if it was read to its ending, or if the
                gateway broke it off.
        """
        self._readers[job.id] -= 1
        if self._readers[job.id] > 0:
            return
        del self._readers[job.id]
        if has_left:
            self._cancelling[job.id] = asyncio.create_task(self._cancel(job))

    async def aclose(self) -> None:
        """Cancel the jobs whose readers have left, without waiting any longer."""
        self._is_ending.set()
        if self._cancelling:
            await asyncio.wait(list(self._cancelling.values()), timeout=_ENDING_SECONDS)

    async def _cancel(self, job: Job) -> None:
        await self._wait(self._after_seconds)
        try:
            for _ in range(_TRIES):
                try:
                    await job.cancel(_REASON)
                except InfrastructureError as error:
                    _logger.warning("a job whose client has left could not be cancelled: %s", error)
                    await self._wait(_PAUSE_SECONDS)
                else:
                    return
        except JobNotFound:
            return
        finally:
            # A reader that has joined since then has removed this task, and another may have left.
            if self._cancelling.get(job.id) is asyncio.current_task():
                del self._cancelling[job.id]

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._is_ending.wait()
        except TimeoutError:
            return
