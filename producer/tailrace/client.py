"""`Tailrace`: what a service holds to enqueue jobs and to find them again."""

import re
from collections.abc import AsyncGenerator, Collection, Iterable
from types import TracebackType
from typing import Self, Unpack

from redis.asyncio import Redis

from tailrace.broker.client import Broker, open_redis
from tailrace.errors import InvalidRequest
from tailrace.events import Event
from tailrace.job import Job
from tailrace.parallel import parallel
from tailrace.protocol.durability import make_durable
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.endings_reader import read_endings
from tailrace.protocol.fleet import Fleet, read_fleet
from tailrace.protocol.keys import Keys, new_job_id
from tailrace.protocol.queue import NewJob, enqueue, enqueue_many, enqueue_once
from tailrace.request.generation_request import GenerationRequest
from tailrace.settings import Settings, SettingsFields
from tailrace.tailing.reader import Reader

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class Tailrace:
    """A connection to the Redis that the workers share. It may be used by any number of tasks of one event loop.

    `Tailrace.connect(url)` opens connections of its own, and closes them when left. `Tailrace(redis)` uses a client of
    the caller's, who closes it.
    """

    def __init__(self, redis: Redis, *, settings: Settings | None = None) -> None:
        self._broker = Broker(redis)
        self._owns_redis = False
        self._settings = settings or Settings.read()
        self._keys = Keys(self._settings.prefix)
        self._reader = Reader(self._broker, self._settings)

    @classmethod
    def connect(cls, redis_url: str | None = None, **settings: Unpack[SettingsFields]) -> Self:
        """Make a client with connections of its own, to be entered with `async with`.

        Args:
            redis_url: Where Redis is: `redis://`, `rediss://` (TLS) or `unix://`. By default `TAILRACE_REDIS_URL`, else
                `redis://localhost:6379/0`.
            **settings: Fields of `Settings`, with their units and ranges. What is not given comes from the environment.

        Returns:
            A client that is not connected yet: `async with` connects it, and closes its connections at the end.

        Raises:
            InvalidSettings: A value breaks its rule, or the URL is none.
        """
        read = Settings.read(redis_url=redis_url, **settings)
        tailrace = cls(open_redis(read.redis_url), settings=read)
        tailrace._owns_redis = True
        return tailrace

    async def __aenter__(self) -> Self:
        """Raises `BrokerUnavailable` or `BrokerRefused` where Redis cannot be used."""
        try:
            await self._broker.greet(self._settings.redis_url)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends all tails, and closes the connections that `connect` opened."""
        await self._reader.aclose()
        if self._owns_redis:
            await self._broker.aclose()

    async def enqueue(
        self,
        request: GenerationRequest,
        *,
        tenant: str = "default",
        queue: str = "default",
        idempotency_key: str | None = None,
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
        durable: bool | None = None,
    ) -> Job:
        """Hands a request to the workers, and returns at once.

        A crash of Redis may lose what it acknowledged in its last moments, with `appendfsync everysec` up to two
        seconds. A `durable` job (default: the settings' `durable`) is on a disk or a replica when this returns, which
        takes up to a second with `everysec`.

        With an `idempotency_key` that its tenant used before it returns the first job and starts nothing. The job is
        due after `defer_seconds`; one that then waits for more than `expires_in_seconds` (default: the settings'
        `expires_in_seconds`) fails with `expired_in_queue`.

        Raises:
            InvalidRequest: The tenant or the queue is no name, or a time is out of its range.
            RequestTooLarge: The request is over the limit of the settings.
            IdempotencyConflict: The key was used for another request.
            QueueFull: `max_queued` jobs wait already; nothing of this one is left behind.
            BrokerUnavailable: Redis cannot be reached; the job may have been enqueued all the same.
            BrokerRefused: Redis is out of memory, say; the job will not run. Or it is to be durable, and Redis has
                neither an append-only file nor a replica.
            NotDurable: The job was enqueued, and is not on a disk or a replica yet, or was lost before it was.
        """
        job = self._new_job(request, tenant, queue, defer_seconds, expires_in_seconds)
        if idempotency_key == "":
            raise InvalidRequest("idempotency_key: an empty key would make all jobs one; leave it out for none.")
        if idempotency_key is None:
            job_id = await enqueue(self._broker, self._keys, job)
        else:
            job_id = await enqueue_once(self._broker, self._keys, job, idempotency_key)
        await self._settle(queue, durable, [job_id])
        return self.job(job_id)

    async def enqueue_many(
        self,
        requests: Iterable[GenerationRequest],
        *,
        tenant: str = "default",
        queue: str = "default",
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
        durable: bool | None = None,
    ) -> list[Job]:
        """Hands many requests to the workers in one round trip, and returns their jobs in the same order.

        A thousand small ones are a good measure: all requests are in memory at once, and within the reply's 10 s.

        Raises:
            InvalidRequest, RequestTooLarge: As `enqueue` does, of any one of them, before anything is written.
            QueueFull: All of them together are more than `max_queued` lets wait; nothing of any is left behind.
            BrokerUnavailable, BrokerRefused: Some of the jobs may have been enqueued all the same.
            NotDurable: As `enqueue` does.
        """
        jobs = {
            new_job_id(): self._new_job(request, tenant, queue, defer_seconds, expires_in_seconds)
            for request in requests
        }
        if jobs:
            await enqueue_many(self._broker, self._keys, jobs)
            await self._settle(queue, durable, jobs)
        return [self.job(job_id) for job_id in jobs]

    def parallel(
        self,
        requests: Iterable[GenerationRequest],
        *,
        max_concurrent: int = 3,
        cancel_on_leave: bool = True,
        tenant: str = "default",
        queue: str = "default",
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
    ) -> AsyncGenerator[tuple[int, Event], None]:
        """Runs requests side by side, and yields their events as they come, each with the index of its request.

        At most `max_concurrent` of the jobs wait or run at a time; the next is enqueued as the ending of one is read.
        A job that fails yields `failed` as any other ending, and the others go on. Leaving the loop early cancels the
        jobs that still run, within 5 s, or lets them run on (`cancel_on_leave=False`); those that had no turn are
        never enqueued. Leave it through `contextlib.aclosing`: a bare `break` closes a generator only afterwards.

        Raises:
            InvalidRequest, RequestTooLarge: As `enqueue` does, of any one of them, before the first is enqueued.
            QueueFull: The queue has no room for those whose turn it is.
            JobNotFound: A job was deleted, or expired before its ending was read; raised when the others have ended.
            BrokerUnavailable: Redis was away for the settings' `reconnect_seconds`.
            BrokerRefused: Redis is out of memory, say.
        """
        if max_concurrent < 1:
            raise InvalidRequest(f"max_concurrent: {max_concurrent!r} is not 1 or more.")
        jobs = [self._new_job(request, tenant, queue, defer_seconds, expires_in_seconds) for request in requests]
        return parallel(
            *(self._broker, self._reader, self._settings, jobs),
            max_concurrent=max_concurrent,
            cancel_on_leave=cancel_on_leave,
        )

    def job(self, job_id: str) -> Job:
        """A handle from an id, without a round trip. Raises `InvalidJobId`."""
        return Job(job_id, self._broker, self._reader, self._settings)

    async def fleet(self) -> Fleet:
        """The queues, with how many jobs wait and run, and the workers that live."""
        return await read_fleet(self._broker, self._keys)

    def endings(self, group: str, *, redeliver_seconds: float = 60) -> AsyncGenerator[JobEnding, None]:
        """Yields the jobs that ended, each at least once to one of all readers of the group, in any process.

        Asking for the next one acknowledges the last. One that is not acknowledged within `redeliver_seconds` is
        given to another reader. A new group begins with the oldest ending that is kept: the last 100,000, for a week.

        The answer can be read for the settings' `keep_seconds` after its ending: what a group lags behind by more than
        that has its `outcome` left. `XINFO GROUPS` on the stream `PREFIX:endings` tells each group's `lag`.

        Raises:
            BrokerUnavailable: Redis was away for the settings' `reconnect_seconds`.
        """
        return read_endings(self._broker, self._settings, group, redeliver_seconds=redeliver_seconds)

    async def _settle(self, queue: str, durable: bool | None, job_ids: Collection[str]) -> None:
        if self._settings.durable if durable is None else durable:
            await make_durable(self._broker, self._keys, queue, job_ids)

    def _new_job(
        self,
        request: GenerationRequest,
        tenant: str,
        queue: str,
        defer_seconds: float,
        expires_in_seconds: float | None,
    ) -> NewJob:
        if expires_in_seconds is not None:
            _checked_seconds("expires_in_seconds", expires_in_seconds)
        return NewJob.of(
            request,
            self._settings,
            tenant=_checked_name("tenant", tenant),
            queue=_checked_name("queue", queue),
            defer_seconds=_checked_seconds("defer_seconds", defer_seconds),
            expires_in_seconds=expires_in_seconds,
        )


def _checked_name(field: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{field}: {name!r} is not a name of 1 to 64 characters of A-Z a-z 0-9 _ . -")
    return name


def _checked_seconds(field: str, seconds: float) -> float:
    if not 0 <= seconds <= 31_536_000:
        raise InvalidRequest(f"{field}: {seconds!r} is not between 0 and a year.")
    return seconds
