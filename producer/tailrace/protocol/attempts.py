"""How an attempt begins, and how a job that nobody runs gets its ending: scripts on the job's own keys.

The id of an entry is the fence, so what decides about ids is decided in Redis, in one step: is there an ending, is the
attempt above the last one, and which `SEQ` comes next.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tailrace.broker.client import Broker, Command, ms, script, text
from tailrace.errors import JobNotFound
from tailrace.events import ENDINGS, Ending, EndingType, encode, pairs
from tailrace.protocol.history import HISTORY
from tailrace.protocol.keys import EntryId, Keys

_MAX_PASSED_OVER: Final = 2**24
"""Among how many numbers the next attempt's is drawn in another history: two lost starts never have the same."""

# KEYS: events, record, cancel, regenerated. Leaves `last` nil where there is no stream.
_READ_LAST = (
    HISTORY
    + """
local events, record, cancel = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last
local function read_last()
  local entry = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  if not entry then return end
  local attempt, seq = string.match(entry[1], '^(%d+)-(%d+)$')
  last = {attempt = tonumber(attempt), seq = tonumber(seq)}
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'type' then last.type = entry[2][i + 1] end
  end
  last.ended = last.type == 'completed' or last.type == 'failed' or last.type == 'cancelled'
end
local function append(attempt, fields)
  local id = string.format('%.0f-%.0f', attempt, last.seq + 1)
  redis.call('XADD', events, id, unpack(fields))
  return id
end
local function is_of_another_history()
  local known = redis.call('HGET', record, 'history')
  return known and known ~= history()
end
-- By who does not run the job. Far above: that an attempt has begun may be what a crash of Redis took, and its worker
-- will put that back, unless it finds itself fenced. In another history the lost attempt may have had a high number.
local function append_from_outside(fields)
  return append(last.attempt + (is_of_another_history() and 4294967296 or 1000), fields)
end
local function live(ms)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ms) end
end
read_last()
"""
)

# ARGV: attempt, life in ms, time to keep in ms, worker, reason, how many workers may be lost, '1' where it continues,
# provider and model where these are not the record's, the last SEQ that the worker knows of, the token of the start,
# how many numbers are passed over in another history, then only from a body that carries its request: request,
# provider, model, queue.
_BEGIN = (
    _READ_LAST
    + """
local attempt, reason, request = tonumber(ARGV[1]), ARGV[5], ARGV[13]
if not last then
  if not request then return {'gone'} end
  redis.call('HSET', record, 'request', request, 'provider', ARGV[14], 'model', ARGV[15], 'tenant', 'default',
             'queue', ARGV[16], 'queued_at', now, 'history', history())
  redis.call('XADD', events, '0-1', 'type', 'queued', 'at', now, 'queue', ARGV[16])
  last = {attempt = 0, seq = 1}
end
local stored = redis.call('HGETALL', record)
local known = {}
for i = 1, #stored, 2 do known[stored[i]] = stored[i + 1] end
local tenant = known.tenant or ''
local function over(...)
  append(attempt, {...})
  live(ARGV[3])
  return {'ended', (select(2, ...)), tenant}
end
if last.ended then return {'ended', last.type, tenant} end
if is_of_another_history() then
  -- Of this number another start may have been lost, whose entries readers and its worker still hold.
  redis.call('HSET', record, 'history', history())
  return {'behind', last.attempt + ARGV[12]}
end
if attempt <= last.attempt or last.seq < tonumber(ARGV[10]) then return {'behind', last.attempt} end
local wanted = redis.call('GET', cancel)
if wanted then return over('type', 'cancelled', 'at', now, 'reason', wanted) end
if last.type == 'queued' and now > (tonumber(known.expires_at or '') or now) then
  return over('type', 'failed', 'at', now, 'code', 'expired_in_queue', 'retryable', '1', 'message',
              'The job waited in its queue for longer than it was allowed to.')
end
if reason == 'worker_lost' and last.attempt > 0 then
  -- Each attempt's first entry is its `started`, which says whether the one before was lost: the stream is the count.
  local lost, from = 1, '1-0'
  while true do
    local entry = redis.call('XRANGE', events, from, '+', 'COUNT', 1)[1]
    if not entry then break end
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'reason' and entry[2][i + 1] == 'worker_lost' then lost = lost + 1 end
    end
    from = string.format('%.0f-0', tonumber(string.match(entry[1], '^(%d+)')) + 1)
  end
  if lost >= tonumber(ARGV[6]) then
    return over('type', 'failed', 'at', now, 'code', 'worker_lost', 'retryable', '1', 'message',
                lost .. ' workers were lost while they ran this job.')
  end
end
local fields = {'type', 'started', 'at', string.format('%.0f', now), 'attempt', ARGV[1],
                'provider', ARGV[8] ~= '' and ARGV[8] or known.provider or '',
                'model', ARGV[9] ~= '' and ARGV[9] or known.model or '', 'worker', ARGV[4], 'token', ARGV[11]}
if attempt > 1 then
  table.insert(fields, 'reason')
  table.insert(fields, reason)
end
if ARGV[7] == '1' then
  table.insert(fields, 'continues')
  table.insert(fields, '1')
end
local id = append(attempt, fields)
live(ARGV[2])
return {'began', id, fields, now, stored}
"""
)

# ARGV: reason, time to keep in ms. All replies but the first end with the time of the request.
# The time to keep begins when the ending is announced: should the canceller die before, a worker finds the job when it
# is due, which may be later than that time, and announces it.
_CANCEL = (
    _READ_LAST
    + """
if not last then return {'gone'} end
local known = redis.call('HMGET', record, 'tenant', 'queue')
if last.ended then return {'ended', last.type, known[1] or '', known[2] or '', now} end
local left = redis.call('PTTL', events)
redis.call('SET', cancel, ARGV[1], 'PX', left > 0 and left or ARGV[2])
if last.type ~= 'queued' then return {'requested', '', known[1] or '', known[2] or '', now} end
append_from_outside({'type', 'cancelled', 'at', now, 'reason', ARGV[1]})
return {'cancelled', 'cancelled', known[1] or '', known[2] or '', now}
"""
)

# KEYS: events, record. ARGV: life in ms, time of the enqueue, queue, then the fields of the record.
_RESTORE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return end
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
redis.call('XADD', KEYS[1], '0-1', 'type', 'queued', 'at', ARGV[2], 'queue', ARGV[3])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
"""

# ARGV: time to keep in ms, the queue of a job that may have no stream yet or '', then the fields of the ending.
_END = (
    _READ_LAST
    + """
if not last then
  if ARGV[2] == '' then return {'gone'} end
  redis.call('HSET', record, 'request', 'null', 'tenant', 'default', 'queue', ARGV[2], 'queued_at', now)
  redis.call('XADD', events, '0-1', 'type', 'queued', 'at', now, 'queue', ARGV[2])
  last = {attempt = 0, seq = 1}
end
local tenant = redis.call('HGET', record, 'tenant') or ''
if last.ended then return {'ended', last.type, tenant} end
local fields = {}
for i = 3, #ARGV do table.insert(fields, ARGV[i]) end
append_from_outside(fields)
live(ARGV[1])
return {'ended', ARGV[4], tenant}
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The attempt is this worker's: `started` is the last entry of the stream."""

    started: EntryId
    fields: tuple[bytes, ...]
    """The fields of `started` as they were appended, to be sent again should Redis lose them."""
    token: bytes
    """Tells this start from another one of the same number, should Redis have lost either."""
    record: tuple[bytes, ...]
    """The fields of the job's record, to be written again should Redis lose the job."""
    at: int
    """The server's time of `started`, Unix ms."""

    @property
    def tenant(self) -> str:
        """Whose job it is."""
        return text(self._stored.get(b"tenant", b""))

    @property
    def request(self) -> bytes:
        """What is asked, as JSON."""
        return self._stored.get(b"request", b"")

    @property
    def queued_at(self) -> int:
        """The server's time of the enqueue, Unix ms."""
        queued_at = self._stored.get(b"queued_at", b"")
        return int(queued_at) if queued_at.isdigit() else self.at

    @property
    def _stored(self) -> dict[bytes, bytes]:
        return pairs(self.record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """There is an ending already: nothing is left but to release the job."""

    ending: EndingType
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The attempt is not above the last one's: arq's counter was lost."""

    last_attempt: int


class Gone:
    """There is no stream: the job was deleted, or has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """How a worker goes on after an attempt of its own that broke off."""

    provider: str
    model: str
    continues: bool
    """Whether what was said so far stands."""
    last_seq: int
    """The `SEQ` of its last entry. Behind less nothing goes on: a restarted Redis has lost what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The request that a job's body carries itself, as stock arq clients send it."""

    request: str
    provider: str
    model: str
    queue: str


async def begin(
    broker: Broker,
    keys: Keys,
    job_id: str,
    *,
    attempt: int,
    worker: str,
    reason: str,
    max_lost: int,
    life_seconds: float,
    keep_seconds: float,
    resumed: Resumed | None = None,
    carried: Carried | None = None,
) -> Began | Over | Behind | Gone:
    """Begins an attempt, unless the job is over, gone, cancelled, too late, or further on already.

    `reason` says why there is another attempt; where it is `worker_lost` for the `max_lost`th time, the job fails.
    Only `carried` may create a stream that is not there.
    """
    token = secrets.token_hex(8).encode()
    reply = await broker.call(
        *script(
            _BEGIN,
            _keys(keys, job_id),
            attempt,
            ms(life_seconds),
            ms(keep_seconds),
            worker,
            reason,
            max_lost,
            *_resumed(resumed),
            token,
            1 + secrets.randbelow(_MAX_PASSED_OVER),
            *((carried.request, carried.provider, carried.model, carried.queue) if carried else ()),
        )
    )
    match reply:
        case [b"began", started, fields, at, record]:
            return Began(
                started=EntryId.decode(started), fields=tuple(fields), token=token, record=tuple(record), at=at
            )
        case [b"ended", ending, tenant]:
            return Over(ending=ENDINGS[ending.decode()], tenant=text(tenant))
        case [b"behind", last_attempt]:
            return Behind(last_attempt=last_attempt)
        case _:
            return Gone()


def restore_command(keys: Keys, job_id: str, record: Sequence[bytes], *, life_seconds: float) -> Command:
    """Make a job anew that Redis has lost whole: its record, and its stream up to `queued`, byte for byte."""
    stored = pairs(record)
    return script(
        _RESTORE,
        (keys.events(job_id), keys.record(job_id)),
        ms(life_seconds),
        stored.get(b"queued_at", b""),
        stored.get(b"queue", b""),
        *record,
    )


class CancelOutcome(StrEnum):
    """What a call of `cancel` did."""

    CANCELLED = "cancelled"
    """The job had not started; its ending is written."""
    REQUESTED = "requested"
    """The job runs; its worker stops it at its next poll, and writes the ending."""
    ENDED = "ended"
    """The job was over already; nothing has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """What the job's side of a cancel found and did."""

    outcome: CancelOutcome
    ending: str
    tenant: str
    queue: str
    at: int
    """The server's time of the request, Unix ms."""


async def cancel(broker: Broker, keys: Keys, job_id: str, reason: str, *, keep_seconds: float) -> Cancellation:
    """Sets the cancel key and, where nothing has started, appends the ending.

    Raises:
        JobNotFound: There is no stream.
    """
    reply = await broker.call(*script(_CANCEL, _keys(keys, job_id), reason, ms(keep_seconds)))
    if reply[0] == b"gone":
        raise no_stream(job_id)
    outcome, ending, tenant, queue = map(text, reply[:4])
    return Cancellation(outcome=CancelOutcome(outcome), ending=ending, tenant=tenant, queue=queue, at=reply[4])


async def end(
    broker: Broker, keys: Keys, job_id: str, ending: Ending, *, keep_seconds: float, queue: str = ""
) -> Over | Gone:
    """Gives a job that its caller does not run its ending, unless it has one: in an attempt far above the last.

    With the queue in which a stock arq client has put it, a stream that is not there is made.
    """
    reply = await broker.call(*script(_END, _keys(keys, job_id), ms(keep_seconds), queue, *encode(ending)))
    if reply[0] == b"gone":
        return Gone()
    return Over(ending=ENDINGS[reply[1].decode()], tenant=text(reply[2]))


def no_stream(job_id: str) -> JobNotFound:
    """The error of every call that needs the job's stream."""
    return JobNotFound(f"Job {job_id!r} has no stream: it expired, was deleted, or was never enqueued.")


def _resumed(resumed: Resumed | None) -> tuple[str | int, ...]:
    if resumed is None:
        return "", "", "", 0
    return "1" if resumed.continues else "", resumed.provider, resumed.model, resumed.last_seq


def _keys(keys: Keys, job_id: str) -> tuple[str, ...]:
    return keys.events(job_id), keys.record(job_id), keys.cancel(job_id), keys.regenerated(job_id)
