"""The queues and the workers at one moment, and how a worker says that it lives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tailrace.broker.client import Broker, Command, ms
from tailrace.protocol.keys import QUEUES_LIFE_SECONDS, Keys
from tailrace.protocol.scripts import Script

_BEAT_LIFE_SECONDS: Final = 20.0
"""How long a worker that says nothing more still counts as one."""
_FORGOTTEN_SECONDS: Final = 3_600.0
"""How long its name is kept, by the clocks of other workers, which may differ; whether it lives is Redis's to tell."""


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
    providers: tuple[str, ...] | None = None
    """The providers that it can call; `None` if it does not say, as workers of older versions do not."""
    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    """What is wrong with the others that it knows of: the variable that is not set, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What there is to run, and who runs it; both by name."""

    queues: tuple[QueueStatus, ...]
    workers: tuple[WorkerStatus, ...]


async def read_fleet(broker: Broker, keys: Keys) -> Fleet:
    """Reads it in two round trips."""
    queues, workers = map(
        _names, await broker.pipeline(("ZRANGE", keys.queues, 0, -1), ("ZRANGE", keys.workers, 0, -1))
    )
    read = [Script.DEPTHS.command((keys.queue(name), keys.running(name))) for name in queues]
    read += _read_beats(keys, workers)
    replies = await broker.pipeline(*read) if read else []
    return Fleet(
        queues=tuple(_queue(name, *counts) for name, counts in zip(queues, replies, strict=False)),
        workers=_workers(workers, replies[len(queues) :]),
    )


async def read_workers(broker: Broker, keys: Keys) -> tuple[WorkerStatus, ...]:
    """Reads the workers only, by name."""
    workers = _names(await broker.call("ZRANGE", keys.workers, 0, -1))
    return _workers(workers, await broker.pipeline(*_read_beats(keys, workers)) if workers else [])


def _names(reply: list[bytes]) -> list[str]:
    return sorted(name.decode() for name in reply)


def _read_beats(keys: Keys, workers: Sequence[str]) -> list[Command]:
    return [(command, keys.worker(name)) for name in workers for command in ("GET", "PTTL")]


def _workers(names: Sequence[str], replies: Sequence[Any]) -> tuple[WorkerStatus, ...]:
    beats = iter(replies)
    return tuple(_worker(name, said, left_ms) for name, said, left_ms in zip(names, beats, beats, strict=True) if said)


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
        providers=tuple(fields["providers"]) if "providers" in fields else None,
        problems=fields.get("problems", {}),
    )


def beat_commands(
    keys: Keys,
    name: str,
    *,
    queues: Sequence[str],
    running: int,
    max_jobs: int,
    at: int,
    providers: Sequence[str] | None = None,
    problems: Mapping[str, str] | None = None,
) -> tuple[Command, ...]:
    """What a worker sends every 5 s; `at` is its own time, Unix ms."""
    said: dict[str, object] = {"queues": queues, "running": running, "max_jobs": max_jobs}
    if providers is not None:
        said |= {"providers": providers, "problems": dict(problems or {})}
    return (
        ("SET", keys.worker(name), json.dumps(said), "PX", ms(_BEAT_LIFE_SECONDS)),
        ("ZADD", keys.workers, at, name),
        ("PEXPIRE", keys.workers, ms(_FORGOTTEN_SECONDS)),
        ("ZREMRANGEBYSCORE", keys.workers, "-inf", at - ms(_FORGOTTEN_SECONDS)),
    )


def serve_commands(keys: Keys, queues: Sequence[str], *, at: int) -> tuple[Command, ...]:
    """What a worker sends as it begins: its queues are there before the first job, and without our `enqueue`."""
    return (
        ("ZADD", keys.queues, *(part for queue in queues for part in (at, queue))),
        ("PEXPIRE", keys.queues, ms(QUEUES_LIFE_SECONDS)),
    )


def leave_commands(keys: Keys, name: str) -> tuple[Command, ...]:
    """What a worker sends as it ends."""
    return (("ZREM", keys.workers, name), ("UNLINK", keys.worker(name)))
