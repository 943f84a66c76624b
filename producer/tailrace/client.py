"""`Tailrace`: the client with which a service enqueues jobs and finds them again."""

import re
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from redis.asyncio import Redis

from tailrace.access.access import Access
from tailrace.broker.client import Broker, open_redis
from tailrace.conversation import Conversation
from tailrace.errors import InvalidRequest
from tailrace.events import Event
from tailrace.job import Job
from tailrace.parallel import parallel
from tailrace.protocol.conversations import IfActive, checked_conversation, checked_if_active, enqueue
from tailrace.protocol.durability import make_durable
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.endings_reader import read_endings
from tailrace.protocol.fleet import Fleet, read_fleet
from tailrace.protocol.keys import Keys, new_job_id
from tailrace.protocol.new_job import NewJob
from tailrace.protocol.queue import enqueue_many
from tailrace.request.any_request import AnyRequest
from tailrace.settings import Settings, SettingsFields
from tailrace.status import JobState, JobStatus
from tailrace.status_reader import checked_limit, list_jobs
from tailrace.tailing.reader import Reader

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class Tailrace:
    """A client of the Redis server that the workers use. Any number of tasks of one event loop may share it.

    `Tailrace.connect(url)` opens connections of its own and closes them at the end of `async with`. `Tailrace(redis)`
    uses a Redis client of the caller, and the caller closes that client.

    Args:
        redis: A Redis client that was made with `decode_responses=False` and `protocol=2`.
        settings: The settings of the client; by default they come from the environment.

    Raises:
        InvalidSettings: The Redis client was made with other options, or a variable of the environment has a value that
            is not allowed.
    """

    def __init__(self, redis: Redis, *, settings: Settings | None = None) -> None:
        self._broker = Broker(redis)
        self._owns_redis = False
        self._settings = settings or Settings.read()
        self._keys = Keys(self._settings.prefix)
        self._reader = Reader(self._broker, self._settings)
        self._access = Access(self._broker, self._keys, running_seconds=self._settings.running_seconds)

    @classmethod
    def connect(cls, redis_url: str | None = None, **settings: Unpack[SettingsFields]) -> Self:
        """Make a client with connections of its own, to be entered with `async with`.

        Args:
            redis_url: Where Redis is: `redis://`, `rediss://` (TLS) or `unix://`. By default `TAILRACE_REDIS_URL`, else
                `redis://localhost:6379/0`.
            **settings: Fields of `Settings`, in the units and ranges that are documented there. Fields that are not
                given come from the environment.

        Returns:
            A client that is not connected yet: `async with` connects it, and closes its connections at the end.

        Raises:
            InvalidSettings: A value is not allowed, a field does not exist, or the URL is malformed.
        """
        read = Settings.read(redis_url=redis_url, **settings)
        tailrace = cls(open_redis(read.redis_url), settings=read)
        tailrace._owns_redis = True
        return tailrace

    async def __aenter__(self) -> Self:
        """Check that Redis can be used.

        Returns:
            The client itself.

        Raises:
            BrokerUnavailable: Redis cannot be reached, or takes no commands now.
            BrokerRefused: Redis rejected the user or the password, or the user lacks a permission.
        """
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
        """End all tails, and close the connections that `connect` opened."""
        await self._reader.aclose()
        if self._owns_redis:
            await self._broker.aclose()

    @property
    def access(self) -> Access:
        """The API keys, the limits of tenants and the signing key, which all gateways of this Redis share."""
        return self._access

    async def enqueue(
        self,
        request: AnyRequest,
        *,
        tenant: str = "default",
        queue: str = "default",
        idempotency_key: str | None = None,
        conversation: str | None = None,
        if_active: IfActive = "reject",
        labels: Mapping[str, str] | None = None,
        front: Mapping[str, Any] | None = None,
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
        durable: bool | None = None,
    ) -> Job:
        """Enqueue a job for the workers, and return without waiting for it.

        A crash of Redis may lose writes that it acknowledged shortly before: up to two seconds of them with
        `appendfsync everysec`. A `durable` job is on a disk or a replica when this returns, which takes up to one
        second longer with `everysec`.

        Args:
            request: The generation to run.
            tenant: On whose behalf the job runs: 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
            queue: The queue in which the job waits, a name of the same form.
            idempotency_key: A name for this request, not empty. If the tenant used it before, the first job under it
                is returned, and no other is enqueued.
            conversation: The id of the conversation that the job belongs to, 1 to 256 characters. One job of a
                conversation is active at a time: from its enqueue until its ending, or until somebody cancels it.
            if_active: What to do if the conversation has an active job: `"reject"` to raise `ConversationBusy`,
                `"interrupt"` to cancel that job, whose text stays readable, and to enqueue the new one.
            labels: Up to 16 short texts by name, which statuses, lists and endings return. A name has 1 to 64
                characters of `A-Z a-z 0-9 _ . -`, a value at most 256 characters.
            front: What an HTTP API in front of tailrace has to remember of its own request, such as OpenAI's
                `metadata`: a JSON object of at most 65,536 bytes, which `Job.front` reads. Workers ignore it.
            defer_seconds: The delay in seconds until the job is due, 0 to 31,536,000 (a year).
            expires_in_seconds: How long in seconds the job may wait from the time at which it is due, 0 to 31,536,000;
                after that it fails with `expired_in_queue`. By default the settings' `expires_in_seconds`.
            durable: True to wait until the job is on a disk or a replica. By default the settings' `durable`.

        Returns:
            The job: a new one, or the first one under `idempotency_key`.

        Raises:
            InvalidRequest: The tenant or the queue is not a name, the idempotency key is empty, a time is out of range,
                or the conversation, `if_active`, the labels or `front` are not valid.
            RequestTooLarge: The JSON of the request is larger than the settings' `max_request_bytes`.
            IdempotencyConflict: The tenant used the key before, for another request, in another conversation or with
                another `front`.
            ConversationBusy: Another job of the conversation is active; the job was not enqueued.
            QueueFull: `max_queued` jobs wait already; the job was not enqueued.
            BrokerUnavailable: Redis cannot be reached; the job may have been enqueued nevertheless.
            BrokerRefused: Redis refused, for example because it is out of memory; the job will not run. Or the job is
                to be durable, and Redis has neither an append-only file nor a replica.
            NotDurable: The job was enqueued, but was not on a disk or a replica in time, or was lost before it was.
        """
        job = self._new_job(request, tenant, queue, defer_seconds, expires_in_seconds, labels, conversation, front)
        if idempotency_key == "":
            raise InvalidRequest(
                "idempotency_key: '' is empty, so all jobs would share it. Give a key for this request, or omit it."
            )
        job_id, is_new = await enqueue(
            self._broker,
            self._keys,
            job,
            if_active=checked_if_active(if_active),
            keep_seconds=self._settings.keep_seconds,
            idempotency_key=idempotency_key,
        )
        await self._settle(queue, durable, [job_id])
        return Job(job_id, self._broker, self._reader, self._settings, is_new=is_new)

    async def enqueue_many(
        self,
        requests: Iterable[AnyRequest],
        *,
        tenant: str = "default",
        queue: str = "default",
        labels: Mapping[str, str] | None = None,
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
        durable: bool | None = None,
    ) -> list[Job]:
        """Enqueue many jobs in one round trip.

        Pass about a thousand small requests at a time: all of them are in memory at once, and Redis has 10 s to reply.

        Args:
            requests: The generations to run, one job each.
            tenant: On whose behalf the jobs run: 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
            queue: The queue in which the jobs wait, a name of the same form.
            labels: The labels of each of the jobs, as for `enqueue`.
            defer_seconds: The delay in seconds until the jobs are due, 0 to 31,536,000 (a year).
            expires_in_seconds: How long in seconds a job may wait from the time at which it is due, 0 to 31,536,000.
                By default the settings' `expires_in_seconds`.
            durable: True to wait until the jobs are on a disk or a replica. By default the settings' `durable`.

        Returns:
            The jobs, in the order of the requests.

        Raises:
            InvalidRequest: The tenant or the queue is not a name, a time is out of range, or the labels are not valid;
                nothing was written.
            RequestTooLarge: The JSON of a request is larger than the settings' `max_request_bytes`; nothing was
                written.
            QueueFull: With these jobs more than `max_queued` would wait; none of them was enqueued.
            BrokerUnavailable: Redis cannot be reached; some of the jobs may have been enqueued nevertheless.
            BrokerRefused: Redis refused; some of the jobs may have been enqueued nevertheless.
            NotDurable: The jobs were enqueued, but not all were on a disk or a replica in time, or some were lost.
        """
        jobs = {
            new_job_id(): self._new_job(request, tenant, queue, defer_seconds, expires_in_seconds, labels)
            for request in requests
        }
        if jobs:
            await enqueue_many(self._broker, self._keys, jobs)
            await self._settle(queue, durable, jobs)
        return [Job(job_id, self._broker, self._reader, self._settings, is_new=True) for job_id in jobs]

    def parallel(
        self,
        requests: Iterable[AnyRequest],
        *,
        max_concurrent: int = 3,
        cancel_on_leave: bool = True,
        tenant: str = "default",
        queue: str = "default",
        labels: Mapping[str, str] | None = None,
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
    ) -> AsyncGenerator[tuple[int, Event], None]:
        """Run requests side by side, and yield their events as they arrive.

        The next job is enqueued when the ending of one is read. A job that fails yields its `failed` event, and the
        other jobs go on. Jobs that are not enqueued yet when the loop is left are never enqueued. Wrap the generator
        in `contextlib.aclosing`: after a bare `break`, Python closes it at some later time.

        Args:
            requests: The generations to run, one job each.
            max_concurrent: How many of the jobs wait or run at a time, 1 or more.
            cancel_on_leave: True to cancel the jobs that still run when the loop is left, which is tried for up to 5 s;
                False to let them run.
            tenant: On whose behalf the jobs run: 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
            queue: The queue in which the jobs wait, a name of the same form.
            labels: The labels of each of the jobs, as for `enqueue`.
            defer_seconds: The delay in seconds from the enqueue of a job until it is due, 0 to 31,536,000 (a year).
            expires_in_seconds: How long in seconds a job may wait from the time at which it is due, 0 to 31,536,000.
                By default the settings' `expires_in_seconds`.

        Yields:
            Each event, with the index of its request in `requests`, from 0.

        Raises:
            InvalidRequest: `max_concurrent` is below 1, the tenant or the queue is not a name, a time is out of range,
                or the labels are not valid; no job was enqueued.
            RequestTooLarge: The JSON of a request is larger than the settings' `max_request_bytes`; no job was
                enqueued.
            QueueFull: The queue has no room for the next jobs.
            JobNotFound: A job was deleted, or expired before its ending was read; raised after the other jobs ended.
            BrokerUnavailable: Redis was unavailable for the settings' `reconnect_seconds`.
            BrokerRefused: Redis refused, for example because it is out of memory.
        """
        if max_concurrent < 1:
            raise InvalidRequest(
                f"max_concurrent: {max_concurrent!r} is below 1. Give the number of jobs that may run at a time."
            )
        jobs = [
            self._new_job(request, tenant, queue, defer_seconds, expires_in_seconds, labels) for request in requests
        ]
        return parallel(
            *(self._broker, self._reader, self._settings, jobs),
            max_concurrent=max_concurrent,
            cancel_on_leave=cancel_on_leave,
        )

    def job(self, job_id: str) -> Job:
        """Make a handle from a job id, without a round trip.

        Args:
            job_id: The id of a job: 16 to 64 characters of `A-Z a-z 0-9 _ -`.

        Returns:
            The handle. Its methods raise `JobNotFound` if there is no such job.

        Raises:
            InvalidJobId: The text is not of the form of a job id.
        """
        return Job(job_id, self._broker, self._reader, self._settings)

    async def jobs(
        self,
        *,
        tenant: str = "default",
        conversation: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
    ) -> list[JobStatus]:
        """List the jobs of a tenant, or of one of its conversations, the newest first.

        Redis keeps an index of the last 10,000 jobs of a tenant, and of the last 100 of a conversation. A job is listed
        for as long as its status can be read: `keep_seconds` after its ending. Jobs that a stock arq client enqueued
        are not listed.

        Args:
            tenant: The tenant of the jobs.
            conversation: The id of a conversation of the tenant, to list only its jobs.
            state: List only jobs in this state; by default all are listed. If few jobs are in the state, many others
                may have to be read to find them.
            limit: How many jobs to list at most, 1 to 10,000.

        Returns:
            The statuses at this moment.

        Raises:
            InvalidRequest: The tenant is not a name, the conversation or the state is not valid, or the limit is out of
                range.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused to read the jobs.
        """
        tenant = _checked_name("tenant", tenant)
        if conversation is None:
            index = self._keys.jobs(tenant)
        else:
            index = self._keys.conversation(tenant, checked_conversation(conversation))
        if state is not None and state not in tuple(JobState):
            raise InvalidRequest(f"state: {state!r} is not one of {', '.join(JobState)}.")
        return await list_jobs(self._broker, self._keys, self._settings, index, state=state, limit=checked_limit(limit))

    def conversation(self, conversation: str, *, tenant: str = "default") -> Conversation:
        """Make a handle of a conversation, without a round trip.

        Args:
            conversation: The id of the conversation, 1 to 256 characters.
            tenant: The tenant under which its jobs are enqueued.

        Returns:
            The handle. A conversation need not be created: it consists of the jobs that were enqueued with its id.

        Raises:
            InvalidRequest: The id or the tenant is not valid.
        """
        return Conversation(
            checked_conversation(conversation),
            _checked_name("tenant", tenant),
            *(self._broker, self._reader, self._settings),
        )

    async def fleet(self) -> Fleet:
        """Count the jobs in each queue, and list the workers that are alive.

        Returns:
            The queues, with how many jobs wait and run in each, and the workers that sent a heartbeat lately.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused to answer.
        """
        return await read_fleet(self._broker, self._keys)

    def endings(self, group: str, *, redeliver_seconds: float = 60) -> AsyncGenerator[JobEnding, None]:
        """Yield the jobs that ended, each at least once to one reader of the group, in any process.

        To ask for the next ending acknowledges the one before it. A new group begins with the oldest ending that is
        kept: Redis keeps the last 100,000, for a week after the newest.

        The answer of a job can be read for the settings' `keep_seconds` after its ending. If a group lags by more than
        that, only the `outcome` of the job is left. `XINFO GROUPS` on the stream `PREFIX:endings` shows the `lag` of
        each group, in endings.

        Args:
            group: The name of the consumer group. Readers of one group share the endings among them.
            redeliver_seconds: After how many seconds an ending that was not acknowledged is given to another reader,
                above 0.

        Yields:
            The endings, the oldest first.

        Raises:
            BrokerUnavailable: Redis was unavailable for the settings' `reconnect_seconds`.
            BrokerRefused: Redis refused to read the endings.
        """
        return read_endings(self._broker, self._settings, group, redeliver_seconds=redeliver_seconds)

    async def _settle(self, queue: str, durable: bool | None, job_ids: Collection[str]) -> None:
        if self._settings.durable if durable is None else durable:
            await make_durable(self._broker, self._keys, queue, job_ids)

    def _new_job(
        self,
        request: AnyRequest,
        tenant: str,
        queue: str,
        defer_seconds: float,
        expires_in_seconds: float | None,
        labels: Mapping[str, str] | None,
        conversation: str | None = None,
        front: Mapping[str, Any] | None = None,
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
            labels=labels,
            conversation=None if conversation is None else checked_conversation(conversation),
            front=front,
        )


def _checked_name(field: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{field}: {name!r} is not a name. Use 1 to 64 characters of A-Z a-z 0-9 _ . -")
    return name


def _checked_seconds(field: str, seconds: float) -> float:
    if not 0 <= seconds <= 31_536_000:
        raise InvalidRequest(f"{field}: {seconds!r} is out of range. Give 0 to 31,536,000 seconds (a year).")
    return seconds
