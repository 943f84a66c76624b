"""The queues and the workers at one moment, and the heartbeats of workers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tailrace.broker.client import Broker, Command, ms
from tailrace.protocol.keys import QUEUES_LIFE_SECONDS, Keys
from tailrace.protocol.scripts import Script

_BEAT_LIFE_SECONDS: Final = 20.0
"""How long a worker is listed after its last heartbeat, in seconds."""
_FORGOTTEN_SECONDS: Final = 3_600.0
"""How long its name is kept by other workers, whose clocks may differ. The expiry in Redis decides if it is alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue in which a job was enqueued, or that a worker began to serve, within the last week."""

    name: str
    """The name of the queue."""
    due: int
    """How many jobs wait for a worker."""
    deferred: int
    """How many jobs wait for the time at which they are due."""
    running: int
    """How many jobs are claimed, including those of workers that were lost."""
    oldest_due_seconds: float | None
    """How long the job that waits longest has been due, in seconds; `None` if no job is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker whose last heartbeat is less than 20 s old."""

    name: str
    """The host and the process id: `host:pid`."""
    queues: tuple[str, ...]
    """The queues that it serves, in the order in which it claims from them."""
    running: int
    """How many jobs it runs."""
    max_jobs: int
    """How many jobs it runs at most."""
    beat_age_seconds: float
    """The age of its last heartbeat, in seconds. It sends one every 5 s."""
    providers: tuple[str, ...] | None = None
    """The providers that it can call; `None` for a worker of an older version, which does not report them."""
    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why it cannot call other providers that it knows, for example because a variable is not set, by provider."""
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])
    """The kinds of the providers in its `TAILRACE_PROVIDERS`, such as `anthropic`, by provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The queues and the workers at one moment."""

    queues: tuple[QueueStatus, ...]
    """The queues, ordered by name."""
    workers: tuple[WorkerStatus, ...]
    """The workers, ordered by name."""


async def read_fleet(broker: Broker, keys: Keys) -> Fleet:
    """Read the queues and the workers, in two round trips.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.

    Returns:
        The queues and the workers.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
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
    """Read the workers only.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.

    Returns:
        The workers, ordered by name.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
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
        # Computed from the expiry in Redis, because the clock of the worker's machine may differ.
        beat_age_seconds=(ms(_BEAT_LIFE_SECONDS) - left_ms) / 1000,
        providers=tuple(fields["providers"]) if "providers" in fields else None,
        problems=fields.get("problems", {}),
        kinds=fields.get("kinds", {}),
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
    kinds: Mapping[str, str] | None = None,
) -> tuple[Command, ...]:
    """Return the commands of one heartbeat, which a worker sends every 5 s.

    Args:
        keys: The keys under the prefix.
        name: The worker, as `host:pid`.
        queues: The queues that it serves.
        running: How many jobs it runs.
        max_jobs: How many jobs it runs at most.
        at: The time by its own clock, in Unix ms.
        providers: The providers that it can call.
        problems: Why it cannot call others, by provider.
        kinds: The kinds of the providers that its settings define, by provider.
    """
    said: dict[str, object] = {"queues": queues, "running": running, "max_jobs": max_jobs}
    if providers is not None:
        said |= {"providers": providers, "problems": dict(problems or {}), "kinds": dict(kinds or {})}
    return (
        ("SET", keys.worker(name), json.dumps(said), "PX", ms(_BEAT_LIFE_SECONDS)),
        ("ZADD", keys.workers, at, name),
        ("PEXPIRE", keys.workers, ms(_FORGOTTEN_SECONDS)),
        ("ZREMRANGEBYSCORE", keys.workers, "-inf", at - ms(_FORGOTTEN_SECONDS)),
    )


def serve_commands(keys: Keys, queues: Sequence[str], *, at: int) -> tuple[Command, ...]:
    """Return the commands that register the queues of a worker at its start, before the first job of any client.

    Args:
        keys: The keys under the prefix.
        queues: The queues that it serves.
        at: The time by its own clock, in Unix ms.
    """
    return (
        ("ZADD", keys.queues, *(part for queue in queues for part in (at, queue))),
        ("PEXPIRE", keys.queues, ms(QUEUES_LIFE_SECONDS)),
    )


def leave_commands(keys: Keys, name: str) -> tuple[Command, ...]:
    """Return the commands that a worker sends at its end, so that it is no longer listed.

    Args:
        keys: The keys under the prefix.
        name: The worker, as `host:pid`.
    """
    return (("ZREM", keys.workers, name), ("UNLINK", keys.worker(name)))
