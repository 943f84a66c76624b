"""Into the queue: the job's side first, then the queue's side, each all or nothing."""

import json
import time
from dataclasses import dataclass

from tailrace.attempts import no_stream
from tailrace.broker import Broker, Command, ms, script
from tailrace.errors import IdempotencyConflict, QueueFull
from tailrace.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry, new_job_id

FUNCTION = "generate"
"""The name of the workers' function."""

RING = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function ring(bell)
  if redis.call('LLEN', bell) < 64 then
    redis.call('LPUSH', bell, 1)
    redis.call('PEXPIRE', bell, 60000)
  end
end
"""
"""The beginning of every script that rings: one ring wakes one worker, and rings that nobody hears do not pile up.

`now` is in ms with a fraction, so that jobs of one millisecond keep their order in a sorted set.
"""

# KEYS: events, record. ARGV: life in ms, queue, request, how long it may wait in ms, then the record's other fields.
_JOB_SIDE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[2], 'request')
if known then
  if known ~= ARGV[3] then return 'conflict' end
else
  redis.call('HSET', KEYS[2], 'queued_at', now, 'expires_at', now + ARGV[4], 'queue', ARGV[2], 'request', ARGV[3],
             unpack(ARGV, 5))
  redis.call('XADD', KEYS[1], '0-1', 'type', 'queued', 'at', now, 'queue', ARGV[2])
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
end
if redis.call('XLEN', KEYS[1]) > 1 then return 'begun' end
return 'queued'
"""

# KEYS: body, queue, doorbell, queues. ARGV: job, body, life in ms, deferral in ms, limit, queue.
# The body is there from here to the release: who comes second, with the same idempotency key, changes nothing.
_QUEUE_SIDE = (
    RING
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local depth, limit = redis.call('ZCARD', KEYS[2]), tonumber(ARGV[5])
if limit > 0 and depth >= limit then return depth end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[4], now, ARGV[6])
redis.call('PEXPIRE', KEYS[4], 604800000)
-- A deferred job is found by the slow poll.
if tonumber(ARGV[4]) == 0 then ring(KEYS[3]) end
return 0
"""
)

# KEYS: idempotency key, queue. ARGV: the job that is offered, life in ms, limit.
_ADMIT = """
local first = redis.call('GET', KEYS[1])
if first then return first end
local depth, limit = redis.call('ZCARD', KEYS[2]), tonumber(ARGV[3])
if limit > 0 and depth >= limit then return depth end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as it goes in."""

    request: str
    provider: str
    model: str
    tenant: str
    queue: str
    defer_seconds: float
    wait_seconds: float
    """How long it may wait, from the time at which it is due."""
    life_seconds: float
    """How long its keys live."""
    max_queued: int


async def enqueue(broker: Broker, keys: Keys, job: NewJob) -> str:
    """Enqueues a job in one round trip, and returns its id.

    Raises:
        QueueFull: As many jobs wait as may; nothing is left behind.
    """
    job_id = new_job_id()
    _, depth = await broker.pipeline(_job_side(keys, job_id, job), _queue_side(keys, job_id, job, limit=job.max_queued))
    if depth:
        await broker.call("UNLINK", keys.events(job_id), keys.record(job_id))
        raise QueueFull(job.queue, depth=depth, limit=job.max_queued)
    return job_id


async def enqueue_once(broker: Broker, keys: Keys, job: NewJob, idempotency_key: str) -> str:
    """Enqueues a job unless its tenant did so before under the same key, and returns the id of the first.

    The steps are those of `enqueue`, and each may be repeated: whoever comes with the key completes what a producer
    that died half-way has left.

    Raises:
        IdempotencyConflict: The first job under the key asks for something else.
        QueueFull: As many jobs wait as may; nothing is left behind.
    """
    key = keys.idempotency(job.tenant, idempotency_key)
    admitted = await broker.call(
        *script(_ADMIT, (key, keys.queue(job.queue)), new_job_id(), ms(job.life_seconds), job.max_queued)
    )
    if isinstance(admitted, int):
        raise QueueFull(job.queue, depth=admitted, limit=job.max_queued)
    job_id: str = admitted.decode()
    state = await broker.call(*_job_side(keys, job_id, job, "idempotency", key))
    if state == b"conflict":
        raise IdempotencyConflict(
            f"Tenant {job.tenant!r} used the idempotency key {idempotency_key!r} before, for another request "
            f"(job {job_id!r}): use a new key for a new request."
        )
    if state == b"queued":
        # It was admitted: to refuse it now would take the job from others who came with the same key.
        await broker.call(*_queue_side(keys, job_id, job, limit=0))
    return job_id


async def withdraw(broker: Broker, keys: Keys, job_id: str, queue: str) -> None:
    """Takes a job that is over out of its queue, where it still waits there."""
    await broker.transaction(
        ("ZREM", keys.queue(queue), job_id), ("DEL", arq_job(job_id), arq_retry(job_id), arq_result(job_id))
    )


async def delete(broker: Broker, keys: Keys, job_id: str) -> None:
    """Removes everything of a job. A worker that runs it is stopped by its next append, or finds its claim gone.

    Raises:
        JobNotFound: There is nothing of it.
    """
    queue, idempotency = await broker.call("HMGET", keys.record(job_id), "queue", "idempotency")
    # The stream goes before the queue's side: a job that is claimed in between finds nothing to begin.
    removed, *_ = await broker.pipeline(
        ("UNLINK", keys.events(job_id), keys.record(job_id), keys.cancel(job_id)),
        *((("UNLINK", idempotency),) if idempotency else ()),
    )
    if queue is not None:
        await broker.transaction(("ZREM", keys.running(queue.decode()), job_id), ("DEL", arq_in_progress(job_id)))
        await withdraw(broker, keys, job_id, queue.decode())
    if not removed:
        raise no_stream(job_id)


def _job_side(keys: Keys, job_id: str, job: NewJob, *more: str) -> Command:
    return script(
        _JOB_SIDE,
        (keys.events(job_id), keys.record(job_id)),
        ms(job.life_seconds),
        job.queue,
        job.request,
        ms(job.defer_seconds + job.wait_seconds),
        *("tenant", job.tenant, "provider", job.provider, "model", job.model),
        *more,
    )


def _queue_side(keys: Keys, job_id: str, job: NewJob, *, limit: int) -> Command:
    # arq's own names for function, arguments, try and time of enqueue.
    body = json.dumps({"t": None, "f": FUNCTION, "a": [], "k": {}, "et": round(time.time() * 1000)})
    return script(
        _QUEUE_SIDE,
        (arq_job(job_id), keys.queue(job.queue), keys.doorbell(job.queue), keys.queues),
        job_id,
        body,
        ms(job.life_seconds),
        ms(job.defer_seconds),
        limit,
        job.queue,
    )
