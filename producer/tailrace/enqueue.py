"""Into the queue: the job's side first, then the queue's side, each all or nothing."""

import json
import time
from dataclasses import dataclass

from tailrace.attempts import no_stream
from tailrace.broker import Broker, Command, ms, script
from tailrace.errors import IdempotencyConflict
from tailrace.keys import Keys, arq_job, arq_result, arq_retry, new_job_id

FUNCTION = "generate"
"""The name of the workers' function."""

# KEYS: events, record. ARGV: life in ms, queue, request, then the record's other fields.
_JOB_SIDE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[2], 'request')
if known then
  if known ~= ARGV[3] then return 'conflict' end
else
  redis.call('HSET', KEYS[2], 'queued_at', now, 'queue', ARGV[2], 'request', ARGV[3], unpack(ARGV, 4))
  redis.call('XADD', KEYS[1], '0-1', 'type', 'queued', 'at', now, 'queue', ARGV[2])
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
end
if redis.call('XLEN', KEYS[1]) > 1 then return 'begun' end
return 'queued'
"""

# KEYS: the body, the queue. ARGV: job, body, life in ms, deferral in ms. The body is there from here to the release:
# who comes second, with the same idempotency key, finds it and changes nothing.
_QUEUE_SIDE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
return 1
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
    life_seconds: float
    """How long its keys live, from the time at which it is due."""


async def enqueue(broker: Broker, keys: Keys, job: NewJob) -> str:
    """Enqueues a job in one round trip, and returns its id."""
    job_id = new_job_id()
    await broker.pipeline(_job_side(keys, job_id, job), _queue_side(keys, job_id, job))
    return job_id


async def enqueue_once(broker: Broker, keys: Keys, job: NewJob, idempotency_key: str) -> str:
    """Enqueues a job unless its tenant did so before under the same key, and returns the id of the first.

    The steps are those of `enqueue`, and each may be repeated: whoever comes with the key completes what a producer
    that died half-way has left.

    Raises:
        IdempotencyConflict: The first job under the key asks for something else.
    """
    key = keys.idempotency(job.tenant, idempotency_key)
    offered = new_job_id()
    _, first = await broker.transaction(("SET", key, offered, "NX", "PX", _life_ms(job)), ("GET", key))
    job_id: str = first.decode()
    state = await broker.call(*_job_side(keys, job_id, job, "idempotency", key))
    if state == b"conflict":
        raise IdempotencyConflict(
            f"Tenant {job.tenant!r} used the idempotency key {idempotency_key!r} before, for another request "
            f"(job {job_id!r}): use a new key for a new request."
        )
    if state == b"queued":
        await broker.call(*_queue_side(keys, job_id, job))
    return job_id


async def withdraw(broker: Broker, keys: Keys, job_id: str, queue: str) -> None:
    """Takes a job that is over out of its queue, where it still waits there."""
    await broker.transaction(
        ("ZREM", keys.queue(queue), job_id), ("DEL", arq_job(job_id), arq_retry(job_id), arq_result(job_id))
    )


async def delete(broker: Broker, keys: Keys, job_id: str) -> None:
    """Removes everything of a job. A worker that runs it is stopped by its next append.

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
        await withdraw(broker, keys, job_id, queue.decode())
    if not removed:
        raise no_stream(job_id)


def _job_side(keys: Keys, job_id: str, job: NewJob, *more: str) -> Command:
    return script(
        _JOB_SIDE,
        (keys.events(job_id), keys.record(job_id)),
        _life_ms(job),
        job.queue,
        job.request,
        *("tenant", job.tenant, "provider", job.provider, "model", job.model),
        *more,
    )


def _queue_side(keys: Keys, job_id: str, job: NewJob) -> Command:
    # arq's own names for function, arguments, try and time of enqueue.
    body = json.dumps({"t": None, "f": FUNCTION, "a": [], "k": {}, "et": round(time.time() * 1000)})
    return script(
        _QUEUE_SIDE,
        (arq_job(job_id), keys.queue(job.queue)),
        job_id,
        body,
        _life_ms(job),
        ms(job.defer_seconds),
    )


def _life_ms(job: NewJob) -> int:
    return ms(job.defer_seconds + job.life_seconds)
