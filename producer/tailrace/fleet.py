"""The queues and the workers at one moment, and how a worker says that it lives."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tailrace.broker import Broker, Command, ms, script
from tailrace.keys import Keys

_BEAT_LIFE_SECONDS: Final = 20.0
"""How long a worker that says nothing more still counts as one."""
_FORGOTTEN_SECONDS: Final = 3_600.0
"""How long its name is kept, by the clocks of other workers, which may differ; whether it lives is Redis's to tell."""
_QUEUES_LIFE_SECONDS: Final = 604_800.0

# KEYS: queue, running.
_QUEUE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZCOUNT', KEYS[1], '-inf', now)
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {due, redis.call('ZCARD', KEYS[1]) - due, redis.call('ZCARD', KEYS[2]), first[2] and now - first[2] or -1}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue that was enqueued into, or that a worker began to serve, within the last week."""

    name: str
    due: int
    """Jobs that wait for a worker."""
    deferred: int
    """Jobs that wait for their time."""
    running: int
    """Jobs that a worker holds, or held until it was lost."""
    oldest_due_seconds: float | None
    """For how long the job that waits longest has been due; `None` where none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker that was heard of within the last 20 s."""

    name: str
    """Its host and process id: `host:pid`."""
    queues: tuple[str, ...]
    running: int
    """Jobs that it runs, of `max_jobs` at most."""
    max_jobs: int
    beat_age_seconds: float
    """How long ago it said so, which it does every 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What there is to run, and who runs it; both by name."""

    queues: tuple[QueueStatus, ...]
    workers: tuple[WorkerStatus, ...]


async def read_fleet(broker: Broker, keys: Keys) -> Fleet:
    """Reads it in two round trips."""
    queues, workers = (
        sorted(name.decode() for name in names)
        for names in await broker.pipeline(("ZRANGE", keys.queues, 0, -1), ("ZRANGE", keys.workers, 0, -1))
    )
    read = [script(_QUEUE, (keys.queue(name), keys.running(name))) for name in queues]
    read += [(command, keys.worker(name)) for name in workers for command in ("GET", "PTTL")]
    replies = await broker.pipeline(*read) if read else []
    beats = iter(replies[len(queues) :])
    return Fleet(
        queues=tuple(_queue(name, *counts) for name, counts in zip(queues, replies, strict=False)),
        workers=tuple(
            _worker(name, said, left_ms) for name, said, left_ms in zip(workers, beats, beats, strict=True) if said
        ),
    )


def _queue(name: str, due: int, deferred: int, running: int, oldest_ms: int) -> QueueStatus:
    return QueueStatus(
        name=name,
        due=due,
        deferred=deferred,
        running=running,
        oldest_due_seconds=None if oldest_ms < 0 else oldest_ms / 1000,
    )


def _worker(name: str, said: bytes, left_ms: int) -> WorkerStatus:
    fields: dict[str, Any] = json.loads(said)
    return WorkerStatus(
        name=name,
        queues=tuple(fields["queues"]),
        running=fields["running"],
        max_jobs=fields["max_jobs"],
        # Counted by Redis: the clock of the worker's machine may differ from ours.
        beat_age_seconds=(ms(_BEAT_LIFE_SECONDS) - left_ms) / 1000,
    )


def beat_commands(
    keys: Keys, name: str, *, queues: Sequence[str], running: int, max_jobs: int, at: int
) -> tuple[Command, ...]:
    """What a worker sends every 5 s; `at` is its own time, Unix ms."""
    said = json.dumps({"queues": queues, "running": running, "max_jobs": max_jobs})
    return (
        ("SET", keys.worker(name), said, "PX", ms(_BEAT_LIFE_SECONDS)),
        ("ZADD", keys.workers, at, name),
        ("PEXPIRE", keys.workers, ms(_FORGOTTEN_SECONDS)),
        ("ZREMRANGEBYSCORE", keys.workers, "-inf", at - ms(_FORGOTTEN_SECONDS)),
    )


def serve_commands(keys: Keys, queues: Sequence[str], *, at: int) -> tuple[Command, ...]:
    """What a worker sends as it begins: its queues are there before the first job, and without our `enqueue`."""
    return (
        ("ZADD", keys.queues, *(part for queue in queues for part in (at, queue))),
        ("PEXPIRE", keys.queues, ms(_QUEUES_LIFE_SECONDS)),
    )


def leave_commands(keys: Keys, name: str) -> tuple[Command, ...]:
    """What a worker sends as it ends."""
    return (("ZREM", keys.workers, name), ("UNLINK", keys.worker(name)))
