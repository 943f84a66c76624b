"""The events of several jobs in one stream."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from tailrace import EntryId, Event, Job, KeepAlive, TailraceError
from tailrace.asgi import KEEP_ALIVE_SECONDS
from tailrace.encoders import KEEP_ALIVE, JobsSseEncoder, SseEncoder
from tailrace.gateway.context import Gateway
from tailrace.gateway.lasting_tail import LastingTail
from tailrace.gateway.stream_response import StreamResponse

_MAX_WAITING: Final = 100
"""The largest number of events of all jobs that wait to be sent. Further events wait in the tails."""


async def stream_several(gateway: Gateway, jobs: Sequence[Job], cursors: Mapping[str, EntryId]) -> Response:
    """Stream the events of several jobs in the native form.

    Args:
        gateway: What all routes share.
        jobs: The jobs, each once.
        cursors: The cursor of the client in each of these jobs, by their ids.

    Returns:
        The stream, or 204 if the client has seen the endings of all jobs.

    Raises:
        InvalidCursor: A cursor is ahead of its stream.
        InvalidRequest: There are too many jobs.
        JobNotFound: A job has no stream.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    tails: list[LastingTail] = []
    frames = _JobsFrames(tails, JobsSseEncoder(cursors))
    try:
        for job in jobs:
            tails.append(await LastingTail.open(job, cursors[job.id]))  # noqa: PERF401  # Those opened are closed.
        if all(tail.at_end for tail in tails):
            await frames.aclose()
            return Response(status_code=204)
    except BaseException:
        await frames.aclose()
        raise
    return StreamResponse(frames, gateway.draining, headers={}, can_move=True)


class _JobsFrames:
    """The frames of several jobs, in the order in which their events arrive."""

    opening: bytes = SseEncoder.opening

    def __init__(self, tails: list[LastingTail], encoder: JobsSseEncoder) -> None:
        self._tails = tails
        self._encoder = encoder
        self._waiting: asyncio.Queue[tuple[str, Event] | None] = asyncio.Queue(_MAX_WAITING)
        self._reading: asyncio.Task[None] | None = None
        self._is_over = False

    async def ready(self) -> bytes:
        """Wait for the next frames.

        Returns:
            All frames that are ready, or a comment after a silence; empty after the last one.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                taken = None if self._is_over else await self._waiting.get()
        except TimeoutError:
            return KEEP_ALIVE
        frames: list[bytes] = []
        while taken is not None:
            frames.append(self._encoder.encode(*taken))
            if self._waiting.empty():
                return b"".join(frames)
            taken = self._waiting.get_nowait()
        self._is_over = True
        return b"".join(frames)

    def broken_off(self) -> bytes:
        """Return nothing: the client comes back with its last id."""
        return b""

    async def aclose(self) -> None:
        """Leave the tails."""
        for tail in self._tails:
            await tail.aclose()
        if self._reading is not None:
            # It may wait for room in the queue, and the client may read nothing any more.
            self._reading.cancel()
            await asyncio.wait([self._reading])
        # All of them or none: the cursor of a later event is after an earlier one, which the client would never get.
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for tail in self._tails:
                tasks.create_task(self._read_one(tail))
        await self._waiting.put(None)

    async def _read_one(self, tail: LastingTail) -> None:
        try:
            while events := await tail.take():
                for event in events:
                    if not isinstance(event, KeepAlive):
                        await self._waiting.put((tail.job_id, event))
        except TailraceError:
            # The client reconnects after the last ending, and then gets an HTTP status.
            return
