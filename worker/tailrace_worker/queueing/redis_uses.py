"""The commands that a worker sends to Redis, each on the keys on which the worker uses it."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry

# `@` stands for the key. If Redis refuses MULTI, the commands are run; then each of them changes nothing that matters,
# or is an error.
OF_A_JOB: Final = {
    "events": (
        "XADD @ NOMKSTREAM 1-1 type check",
        "XRANGE @ - + COUNT 1",
        "XREVRANGE @ + - COUNT 1",
        "EXISTS @",
        "PEXPIRE @ 1",
    ),
    "record": ("HSET @ check 1", "HGET @ check", "HMGET @ check", "HGETALL @", "PEXPIRE @ 1"),
    "cancel": ("GET @", "MGET @", "PEXPIRE @ 1"),
    "regenerated": ("PEXPIRE @ 1",),
}
_OF_A_QUEUE: Final = {
    "queue": ("ZADD @ XX 0 check", "ZREM @ check", "ZRANGE @ 0 0", "ZRANGEBYSCORE @ -inf -inf", "ZMSCORE @ check"),
    "running": ("ZADD @ XX 0 check", "ZREM @ check", "ZRANGE @ 0 0", "ZRANGEBYSCORE @ -inf -inf"),
    "doorbell": ("LLEN @", "LPUSH @ 1", "PEXPIRE @ 60000", "BLPOP @ -1"),
}


class RedisUse(NamedTuple):
    """A command that a worker uses."""

    command: tuple[str, ...]
    pattern: str
    """The ACL rule that allows the command's keys or its channel."""


def redis_uses(keys: Keys, queues: Sequence[str], job_id: str) -> Iterator[RedisUse]:
    """Yield all commands of a worker, each once for every kind of key on which it is used.

    Args:
        keys: The keys of Redis.
        queues: The names of the worker's queues.
        job_id: The id of a job that does not exist, for the keys of jobs.

    Yields:
        Each command with the ACL rule for its keys.
    """
    for name, forms in OF_A_JOB.items():
        yield from _each(forms, getattr(keys, name)(job_id), getattr(keys, name)("*"))
    for queue in queues:
        for name, forms in _OF_A_QUEUE.items():
            key = getattr(keys, name)(queue)
            yield from _each(forms, key, key)
        names = (keys.history, keys.queue(queue), keys.running(queue), keys.doorbell(queue))
        yield RedisUse(("EVAL", "return 0", str(len(names)), *names), f"~{keys.queue(queue)}*")
        # At its end, arq's worker deletes this key, which only arq's own main loop would have set.
        yield from _each(("DEL @",), f"{keys.queue(queue)}:health-check", f"{keys.queue(queue)}:health-check")
    yield RedisUse(("PUBLISH", keys.bell(job_id), ""), f"&{keys.bell('*')}")
    yield from _each(
        ("SET @ 1 PX 1 NX", "PEXPIRE @ 1 GT", "PTTL @"), keys.throttle(job_id, "m"), keys.throttle("*", "*")
    )
    idempotency = keys.idempotency("check", job_id)
    yield from _each(("PEXPIRE @ 1",), idempotency, f"{keys.prefix}:idempotency:*")
    index = ("ZADD @ XX 0 check", "PTTL @", "PEXPIRE @ 604800000")
    yield from _each(index, keys.jobs(job_id), keys.jobs("*"))
    conversation = keys.conversation("check", job_id)
    yield from _each((*index, "ZRANGE @ 0 0"), conversation, f"{keys.prefix}:conversation:*")
    yield from _each(("XADD @ NOMKSTREAM 0-1 f v", "PEXPIRE @ 604800000"), keys.endings, keys.endings)
    yield from _each(("ZADD @ XX 0 check", "PEXPIRE @ 604800000"), keys.queues, keys.queues)
    yield from _each(("GET @", "SET @ 1 PX 1 NX", "PEXPIRE @ 604800000"), keys.history, keys.history)
    workers = ("ZADD @ XX 0 check", "ZREM @ check", "ZREMRANGEBYSCORE @ -inf -inf", "ZRANGE @ 0 0", "PEXPIRE @ 3600000")
    yield from _each(workers, keys.workers, keys.workers)
    yield from _each(("SET @ {} PX 1", "GET @", "PTTL @", "UNLINK @"), keys.worker(job_id), keys.worker("*"))
    yield from _each(("SET @ 1 PX 1", "GET @", "MGET @", "DEL @"), arq_in_progress(job_id), arq_in_progress("*"))
    yield from _each(("GET @", "SET @ 1 PX 1 NX", "DEL @"), arq_job(job_id), arq_job("*"))
    retry = ("GET @", "INCR @", "INCRBY @ 1", "EXPIRE @ 1", "SET @ 1 EX 1", "SETEX @ 1 1", "DEL @")
    yield from _each(retry, arq_retry(job_id), arq_retry("*"))
    yield from _each(("DEL @",), arq_result(job_id), arq_result("*"))
    yield RedisUse(("TIME",), "")


def _each(forms: Sequence[str], key: str, pattern: str) -> Iterator[RedisUse]:
    for form in forms:
        yield RedisUse(tuple(key if word == "@" else word for word in form.split()), f"~{pattern}")
