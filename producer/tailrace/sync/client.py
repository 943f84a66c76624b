"""`Tailrace`: the client with which a service enqueues jobs and finds them again, with methods that block."""

from types import TracebackType
from typing import Any, Self, Unpack

from redis.asyncio import Redis

from tailrace import client as asynchronous
from tailrace.broker.client import open_redis
from tailrace.events import Event
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.fleet import Fleet
from tailrace.settings import Settings, SettingsFields
from tailrace.status import JobStatus
from tailrace.sync.conversation import Conversation
from tailrace.sync.iteration import Iteration
from tailrace.sync.job import Job
from tailrace.sync.session import Sessions
from tailrace.sync.signature import signature_of


class Tailrace:
    """A blocking client of the Redis server that the workers use. Any number of threads may share it.

    The first call starts a daemon thread with an event loop, in which all calls run. A process that is forked later
    starts a thread and connections of its own at its first call. `Tailrace.connect(url)` opens connections of its own.
    `Tailrace(redis)` uses your Redis client, which no other event loop may use, and closes it together with itself. It
    works only in the process in which it was first used.

    A call blocks its thread. In a running event loop it blocks the loop, so use `tailrace.Tailrace` there.

    Args:
        redis: A Redis client of `redis.asyncio`, made with `decode_responses=False` and `protocol=2`.
        settings: The settings of the client; by default they come from the environment.

    Raises:
        InvalidSettings: The Redis client was made with other options, or a variable of the environment has a value that
            is not allowed.
    """

    def __init__(self, redis: Redis, *, settings: Settings | None = None) -> None:
        client = asynchronous.Tailrace(redis, settings=settings)
        self._sessions = Sessions(lambda: client, redis)

    @classmethod
    def connect(cls, redis_url: str | None = None, **settings: Unpack[SettingsFields]) -> Self:
        """Make a client with connections of its own, which are opened when they are needed.

        Args:
            redis_url: Where Redis is: `redis://`, `rediss://` (TLS) or `unix://`. By default `TAILRACE_REDIS_URL`, else
                `redis://localhost:6379/0`.
            **settings: Fields of `Settings`, in the units and ranges that are documented there. Fields that are not
                given come from the environment.

        Returns:
            The client. `with` checks that Redis can be used, and closes the connections at the end; without it
            they are closed by `close`, or with the process.

        Raises:
            InvalidSettings: A value is not allowed, a field does not exist, or the URL is malformed.
        """
        read = Settings.read(redis_url=redis_url, **settings)
        client = cls(open_redis(read.redis_url), settings=read)
        # A process that is forked cannot use the connections of another one.
        client._sessions = Sessions(lambda: asynchronous.Tailrace.connect(**read.model_dump()))
        return client

    def __enter__(self) -> Self:
        """Check that Redis can be used.

        Returns:
            The client itself.

        Raises:
            BrokerUnavailable: Redis cannot be reached, or takes no commands now.
            BrokerRefused: Redis rejected the user or the password, or the user lacks a permission.
        """
        session = self._sessions.current()
        try:
            session.run(session.client.__aenter__)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls and iterators, close the connections and end the thread.

        A later call connects again, if `connect` made the client.
        """
        self._sessions.close()

    @signature_of(asynchronous.Tailrace.enqueue)
    def enqueue(self, *args: Any, **kwargs: Any) -> Job:
        """Enqueue a job for the workers, and return without waiting for it."""
        session = self._sessions.current()
        job = session.run(lambda: session.client.enqueue(*args, **kwargs))
        return Job(job.id, self._sessions, is_new=job.is_new)

    @signature_of(asynchronous.Tailrace.enqueue_many)
    def enqueue_many(self, *args: Any, **kwargs: Any) -> list[Job]:
        """Enqueue many jobs in one round trip."""
        session = self._sessions.current()
        jobs = session.run(lambda: session.client.enqueue_many(*args, **kwargs))
        return [Job(job.id, self._sessions, is_new=job.is_new) for job in jobs]

    @signature_of(asynchronous.Tailrace.parallel)
    def parallel(self, *args: Any, **kwargs: Any) -> Iteration[tuple[int, Event]]:
        """Run requests side by side, and yield their events as they arrive.

        The next job is enqueued when the ending of one is read. A job that fails yields its `failed` event, and the
        other jobs go on. Jobs that are not enqueued yet when the iterator is left are never enqueued.

        Args:
            requests: The generations to run, one job each.
            max_concurrent: How many of the jobs wait or run at a time, 1 or more.
            cancel_on_leave: True to cancel the jobs that still run when the iterator is left, which is tried for up to
                5 s; False to let them run.
            tenant: On whose behalf the jobs run: 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
            queue: The queue in which the jobs wait, a name of the same form.
            labels: The labels of each of the jobs, as for `enqueue`.
            defer_seconds: The delay in seconds from the enqueue of a job until it is due, 0 to 31,536,000 (a year).
            expires_in_seconds: How long in seconds a job may wait from the time at which it is due, 0 to 31,536,000.
                By default the settings' `expires_in_seconds`.

        Returns:
            An iterator over the events, each with the index of its request in `requests`, from 0. The iteration raises
            `QueueFull`, `JobNotFound`, `BrokerUnavailable` and `BrokerRefused` as the asynchronous one does.

        Raises:
            InvalidRequest: `max_concurrent` is below 1, the tenant or the queue is not a name, a time is out of range,
                or the labels are not valid; no job was enqueued.
            RequestTooLarge: The JSON of a request is larger than the settings' `max_request_bytes`; no job was
                enqueued.
        """
        session = self._sessions.current()
        return Iteration(session, session.client.parallel(*args, **kwargs))

    @signature_of(asynchronous.Tailrace.job)
    def job(self, job_id: str) -> Job:
        """Make a handle from a job id, without a round trip."""
        return Job(job_id, self._sessions)

    @signature_of(asynchronous.Tailrace.jobs)
    def jobs(self, *args: Any, **kwargs: Any) -> list[JobStatus]:
        """List the jobs of a tenant, or of one of its conversations, the newest first."""
        session = self._sessions.current()
        return session.run(lambda: session.client.jobs(*args, **kwargs))

    @signature_of(asynchronous.Tailrace.conversation)
    def conversation(self, *args: Any, **kwargs: Any) -> Conversation:
        """Make a handle of a conversation, without a round trip."""
        handle = self._sessions.current().client.conversation(*args, **kwargs)
        return Conversation(handle.id, handle.tenant, self._sessions)

    @signature_of(asynchronous.Tailrace.fleet)
    def fleet(self) -> Fleet:
        """Count the jobs in each queue, and list the workers that are alive."""
        session = self._sessions.current()
        return session.run(session.client.fleet)

    @signature_of(asynchronous.Tailrace.endings)
    def endings(self, *args: Any, **kwargs: Any) -> Iteration[JobEnding]:
        """Yield the jobs that ended, each at least once to one reader of the group, in any process."""
        session = self._sessions.current()
        return Iteration(session, session.client.endings(*args, **kwargs))
