"""Reading a job's stream: from any position, in order, to its ending."""

from collections.abc import AsyncGenerator

from tailrace.answer import Answer, Snapshot
from tailrace.cursor import BEGINNING, EntryId
from tailrace.errors import BrokerUnavailable
from tailrace.events import Ending, Event
from tailrace.settings import Settings
from tailrace.tailing.reader import Reader


async def tail(reader: Reader, job_id: str, after: EntryId) -> AsyncGenerator[Event, None]:
    """Read a job's stream up to its ending, and wait for events that are not there yet.

    Args:
        reader: The reader that all tails share.
        job_id: The job to read.
        after: The cursor after which the events begin.

    Yields:
        The events in the order of the stream; the last one is the ending.

    Raises:
        JobNotFound: The job has no stream, or its stream went away before the ending.
        InvalidCursor: The cursor is ahead of the stream.
        BrokerUnavailable: Redis was away for the settings' `reconnect_seconds`; its `cursor` is where to go on.
        BrokerRefused: Redis refused to read the stream.
    """
    async with reader.open(job_id, after) as inbox:
        while (events := await inbox.take()) is not None:
            events.reverse()
            while events:
                # An event may be large: after it was taken, nothing here holds it.
                yield events.pop()


async def tail_with_snapshot(reader: Reader, job_id: str, settings: Settings) -> AsyncGenerator[Event | Snapshot, None]:
    """Read a job's stream up to its ending, with one snapshot in place of the events so far.

    Args:
        reader: The reader that all tails share.
        job_id: The job to read.
        settings: The settings that the answer is judged by.

    Yields:
        One snapshot of the events that were there at the beginning, except the ending, and then the events as `tail`
        yields them. The snapshot of a long answer holds its beginning, about the reader's `snapshot_bytes`.

    Raises:
        JobNotFound: The job has no stream, or its stream went away before the ending.
        BrokerUnavailable: Redis was away for the settings' `reconnect_seconds`; its `cursor` is where to go on.
        BrokerRefused: Redis refused to read the stream.
    """
    async with reader.open(job_id, BEGINNING) as inbox:
        answer = Answer(settings)
        ending: Ending | None = None
        try:
            while (events := await inbox.take()) is not None:
                ending = _fold(events, answer)
                if inbox.cursor >= inbox.newest or inbox.taken_bytes > reader.limits.snapshot_bytes:
                    break
        except BrokerUnavailable:
            # Its cursor is after the events that were read: without a snapshot the caller would never see them.
            if answer.cursor > BEGINNING:
                yield Snapshot(id=answer.cursor, answer=answer)
            raise
        snapshots = [Snapshot(id=answer.cursor, answer=answer)]
        del answer
        yield snapshots.pop()
        if ending is not None:
            yield ending
        while (events := await inbox.take()) is not None:
            events.reverse()
            while events:
                yield events.pop()


def _fold(events: list[Event], answer: Answer) -> Ending | None:
    """Move events into an answer, and return the ending, which no snapshot holds."""
    events.reverse()
    while events:
        event = events.pop()
        if isinstance(event, Ending):
            return event
        answer.add(event)
    return None
