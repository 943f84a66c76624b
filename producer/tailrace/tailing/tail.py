"""Reading a job's stream: from any position, in order, to its ending."""

from collections.abc import AsyncGenerator

from tailrace.answer import Answer, Snapshot
from tailrace.cursor import BEGINNING, EntryId
from tailrace.errors import BrokerUnavailable
from tailrace.events import Ending, Event
from tailrace.settings import Settings
from tailrace.tailing.reader import Reader


async def tail(reader: Reader, job_id: str, after: EntryId) -> AsyncGenerator[Event, None]:
    """Yields the events behind a cursor until the ending, then stops; waits for those that are not there yet.

    Raises:
        JobNotFound: There is no stream, or it went away before its ending.
        InvalidCursor: The cursor is ahead of the stream.
        BrokerUnavailable: Redis was away for `reconnect_seconds`; it has the cursor to go on from.
    """
    async with reader.open(job_id, after) as inbox:
        while (events := await inbox.take()) is not None:
            for event in events:
                yield event


async def tail_with_snapshot(reader: Reader, job_id: str, settings: Settings) -> AsyncGenerator[Event | Snapshot, None]:
    """Yields one snapshot of all that was there to begin with, but the ending, and then events as `tail` does."""
    answer = Answer(settings)
    ending: Ending | None = None
    async with reader.open(job_id, BEGINNING) as inbox:
        try:
            while (events := await inbox.take()) is not None:
                for event in events:
                    if isinstance(event, Ending):
                        ending = event
                    else:
                        answer.add(event)
                if inbox.cursor >= inbox.newest:
                    break
        except BrokerUnavailable:
            # Its cursor stands behind what was read, which would else be told to nobody.
            if answer.cursor > BEGINNING:
                yield Snapshot(id=answer.cursor, answer=answer)
            raise
        yield Snapshot(id=answer.cursor, answer=answer)
        if ending is not None:
            yield ending
        while (events := await inbox.take()) is not None:
            for event in events:
                yield event
