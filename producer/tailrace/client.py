"""`Tailrace`: what a service holds to enqueue jobs and to find them again."""

import re
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis

from tailrace.broker import Broker, open_redis
from tailrace.endings import JobEnding, read_endings
from tailrace.enqueue import NewJob, enqueue, enqueue_once
from tailrace.errors import InvalidRequest
from tailrace.fleet import Fleet, read_fleet
from tailrace.job import Job
from tailrace.keys import Keys
from tailrace.request import GenerationRequest
from tailrace.settings import Settings

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

    @classmethod
    def connect(cls, redis_url: str | None = None, **settings: Any) -> Self:
        """To be entered with `async with`. What is not given comes from the environment; see `Settings` for the names.

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
        """Closes the connections that `connect` opened."""
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
    ) -> Job:
        """Hands a request to the workers, and returns at once.

        With an `idempotency_key` that its tenant used before it returns the first job and starts nothing. The job is
        due after `defer_seconds`; one that then waits for more than `expires_in_seconds` (default: the settings'
        `queue_limit_seconds`) fails with `expired_in_queue`.

        Raises:
            InvalidRequest: The tenant or the queue is no name, or a time is out of its range.
            RequestTooLarge: The request is over the limit of the settings.
            IdempotencyConflict: The key was used for another request.
            QueueFull: `max_queued` jobs wait already; nothing of this one is left behind.
            BrokerUnavailable: Redis cannot be reached; the job may have been enqueued all the same.
            BrokerRefused: Redis is out of memory, say; the job will not run.
        """
        wait_seconds = self._settings.queue_limit_seconds if expires_in_seconds is None else expires_in_seconds
        job = NewJob(
            request=request.to_json(max_bytes=self._settings.max_request_bytes),
            provider=request.provider,
            model=request.model,
            tenant=_checked_name("tenant", tenant),
            queue=_checked_name("queue", queue),
            defer_seconds=_checked_seconds("defer_seconds", defer_seconds),
            wait_seconds=_checked_seconds("expires_in_seconds", wait_seconds),
            life_seconds=defer_seconds + wait_seconds + self._settings.running_seconds,
            max_queued=self._settings.max_queued,
        )
        if idempotency_key == "":
            raise InvalidRequest("idempotency_key: an empty key would make all jobs one; leave it out for none.")
        if idempotency_key is None:
            job_id = await enqueue(self._broker, self._keys, job)
        else:
            job_id = await enqueue_once(self._broker, self._keys, job, idempotency_key)
        return self.job(job_id)

    def job(self, job_id: str) -> Job:
        """A handle from an id, without a round trip. Raises `InvalidJobId`."""
        return Job(job_id, self._broker, self._settings)

    async def fleet(self) -> Fleet:
        """The queues, with how many jobs wait and run, and the workers that live."""
        return await read_fleet(self._broker, self._keys)

    def endings(self, group: str, *, redeliver_seconds: float = 60) -> AsyncGenerator[JobEnding, None]:
        """Yields the jobs that ended, each at least once to one of all readers of the group, in any process.

        Asking for the next one acknowledges the last. One that is not acknowledged within `redeliver_seconds` is
        given to another reader. A new group begins with the oldest ending that is kept: the last 100,000, for a week.
        """
        return read_endings(self._broker, self._keys, group, redeliver_seconds=redeliver_seconds)


def _checked_name(field: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{field}: {name!r} is not a name of 1 to 64 characters of A-Z a-z 0-9 _ . -")
    return name


def _checked_seconds(field: str, seconds: float) -> float:
    if not 0 <= seconds <= 31_536_000:
        raise InvalidRequest(f"{field}: {seconds!r} is not between 0 and a year.")
    return seconds
