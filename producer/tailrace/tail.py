"""Reading a job's stream: from any position, in order, to its ending."""

import logging
from collections.abc import AsyncGenerator, Sequence

from tailrace.attempts import no_stream
from tailrace.broker import RECONNECT_SECONDS, Broker, PatientBroker
from tailrace.errors import InvalidCursor
from tailrace.events import ENDINGS, Event, decode
from tailrace.keys import BEGINNING, EntryId, Keys

_logger = logging.getLogger(__name__)

_COUNT = 1_000
_BLOCK_MS = 1_000

_Entry = tuple[bytes, dict[bytes, bytes]]


async def tail(broker: Broker, keys: Keys, job_id: str, after: EntryId = BEGINNING) -> AsyncGenerator[Event, None]:
    """Yields the events after a position until the ending, then stops; waits for those that are not there yet.

    Raises:
        JobNotFound: There is no stream, or it went away before its ending.
        InvalidCursor: The position is ahead of the stream.
        BrokerUnavailable: Redis was away for `RECONNECT_SECONDS`; `after` the last event one may go on later.
    """
    stream = keys.events(job_id)
    cursor = after
    patient = PatientBroker(broker, limit_seconds=RECONNECT_SECONDS)
    newest = await _newest(patient, stream, job_id)
    if cursor > EntryId.decode(newest[0]):
        raise InvalidCursor(
            f"The cursor '{cursor}' is ahead of job {job_id!r}, whose last entry is {newest[0].decode()!r}."
        )
    block_ms = None
    while True:
        entries = await _read(patient, stream, cursor, block_ms)
        if not entries:
            # Nothing more, and perhaps nothing any more: no read wakes up when a stream expires under it.
            newest = await _newest(patient, stream, job_id)
        for entry_id, fields in entries:
            cursor = EntryId.decode(entry_id)
            event = _decoded(stream, entry_id, fields)
            if event is not None:
                yield event
            if _is_ending(fields):
                return
        if not entries and EntryId.decode(newest[0]) <= cursor and _is_ending(newest[1]):
            return
        block_ms = None if len(entries) == _COUNT else _BLOCK_MS


def _decoded(stream: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Event | None:
    try:
        return decode(entry_id, fields)
    except ValueError as error:
        _logger.warning("skipped entry %s of %s, which is none of ours: %s", entry_id.decode(), stream, error)
        return None


def _is_ending(fields: dict[bytes, bytes]) -> bool:
    return fields.get(b"type", b"").decode(errors="replace") in ENDINGS


async def _newest(broker: PatientBroker, stream: str, job_id: str) -> _Entry:
    reply = await broker.call("XREVRANGE", stream, "+", "-", "COUNT", 1)
    if not reply:
        raise no_stream(job_id)
    newest: _Entry = reply[0]
    return newest


async def _read(broker: PatientBroker, stream: str, cursor: EntryId, block_ms: int | None) -> Sequence[_Entry]:
    block = () if block_ms is None else ("BLOCK", block_ms)
    reply = await broker.call("XREAD", "COUNT", _COUNT, *block, "STREAMS", stream, str(cursor))
    return reply[0][1] if reply else ()
