"""Responses that stream jobs. Errors that are known before the first byte become an HTTP status."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from starlette.responses import Response

from tailrace import Cancelled, EntryId, Failed, Job
from tailrace.asgi import STATUS_SECONDS
from tailrace.encoders import Encoder, SseEncoder
from tailrace.gateway.context import Gateway
from tailrace.gateway.errors import JOB_HEADER
from tailrace.gateway.frames import JobFrames
from tailrace.gateway.lasting_tail import LastingTail
from tailrace.gateway.leaving import Leaving
from tailrace.gateway.stream_response import StreamResponse

BEGINNING: Final = EntryId(0, 0)

Refused: TypeAlias = Callable[[Failed | Cancelled, str], Response]
"""Makes the response for a job that ended before any attempt, from its ending and its id."""


async def stream_events(gateway: Gateway, job: Job, after: EntryId) -> Response:
    """Stream the events of a job in the native form.

    Args:
        gateway: What all routes share.
        job: The job.
        after: The cursor of the client.

    Returns:
        The stream, or 204 if the cursor is at the ending, because only 204 stops an `EventSource`.

    Raises:
        JobNotFound: The job has no stream.
        InvalidCursor: The cursor is ahead of the stream.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    return await stream_job(gateway, job, SseEncoder(), after=after, can_move=True)


async def stream_job(
    gateway: Gateway,
    job: Job,
    encoder: Encoder,
    *,
    after: EntryId,
    can_move: bool,
    cancels: bool = False,
    refused: Refused | None = None,
    before: Callable[[], Awaitable[None]] | None = None,
) -> Response:
    """Stream a job.

    Args:
        gateway: What all routes share.
        job: The job.
        encoder: The encoder of the protocol.
        after: The cursor after which the events begin.
        can_move: True if the client reads on at another gateway by itself.
        cancels: True if the job is cancelled after its last reader has left.
        refused: Makes the response for a job that has failed, or was cancelled, before any attempt; by default the
            stream tells it.
        before: Awaited before frames are sent.

    Returns:
        The stream, or 204 if the cursor is at the ending, or what `refused` has made.

    Raises:
        JobNotFound: The job has no stream.
        InvalidCursor: The cursor is ahead of the stream.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    stream = partial(_stream, gateway, job, encoder, after, can_move=can_move, refused=refused, before=before)
    if not cancels:
        return await stream()
    gateway.leaving.join(job)
    try:
        return await stream(leaving=gateway.leaving)
    except BaseException as error:
        # A request that is cancelled was broken off by the gateway.
        gateway.leaving.leave(job, has_left=isinstance(error, Exception))
        raise


async def _stream(
    gateway: Gateway,
    job: Job,
    encoder: Encoder,
    after: EntryId,
    *,
    can_move: bool,
    refused: Refused | None,
    before: Callable[[], Awaitable[None]] | None,
    leaving: Leaving | None = None,
) -> Response:
    tail = await LastingTail.open(job, after)
    frames = JobFrames(tail, encoder, has_started=after.attempt > 0, before=before)
    try:
        if tail.at_end:
            await frames.aclose()
            return Response(status_code=204, headers={JOB_HEADER: job.id})
        first = await _until_started(frames)
    except BaseException:
        await frames.aclose()
        raise

    def over(is_broken_off: bool) -> None:
        if leaving is not None:
            leaving.leave(job, has_left=frames.ending is None and not is_broken_off)

    ending = frames.ending
    if refused is not None and isinstance(ending, Failed | Cancelled) and not frames.has_begun:
        await frames.aclose()
        over(is_broken_off=False)
        return refused(ending, job.id)
    headers = {JOB_HEADER: job.id, **encoder.headers}
    return StreamResponse(frames, gateway.draining, first=first, headers=headers, can_move=can_move, on_over=over)


async def _until_started(frames: JobFrames) -> bytes:
    """Hold frames back until an attempt has started, or for 5 s. Raise the error if the stream cannot be read."""
    held: list[bytes] = []
    try:
        async with asyncio.timeout(STATUS_SECONDS):
            while not frames.has_started and (ready := await frames.ready()):
                held.append(ready)
    except TimeoutError:
        pass
    if frames.error is not None:
        raise frames.error
    return b"".join(held)
