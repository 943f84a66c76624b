"""`Job`: the handle of a job, which anyone who holds its id can make."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum

from tailrace import attempts, enqueue
from tailrace.answer import Answer
from tailrace.attempts import CancelOutcome, no_stream
from tailrace.broker import Broker
from tailrace.endings import JobEnding, close
from tailrace.events import Event, decode
from tailrace.keys import BEGINNING, EntryId, Keys, checked_job_id
from tailrace.settings import Settings
from tailrace.tail import tail


class JobState(StrEnum):
    """How far a job is, read off the last entry of its stream."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_TELLING = frozenset(JobState) - {JobState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job, at one moment."""

    job_id: str
    state: JobState
    tenant: str
    queue: str
    provider: str
    model: str
    queued_at: int
    """Unix ms."""
    cursor: EntryId
    """The last entry of the stream."""


class Job:
    """A job, by its id. Making one asks nothing of Redis; handles may be shared and dropped freely."""

    def __init__(self, job_id: str, broker: Broker, settings: Settings) -> None:
        self.id = checked_job_id(job_id)
        self._broker = broker
        self._settings = settings
        self._keys = Keys(settings.prefix)

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def tail(self, *, after: str | EntryId = BEGINNING) -> AsyncGenerator[Event, None]:
        """Yields the events after a cursor, first those of the past, until the ending; leaving it costs nothing.

        Raises:
            JobNotFound: There is no stream, or it went away before its ending.
            InvalidCursor: `after` is not a cursor, or ahead of the stream.
            BrokerUnavailable: Redis was away for 30 s; `after` the last event one may go on later.
        """
        cursor = EntryId.parse(after) if isinstance(after, str) else after
        return tail(self._broker, self._keys, self.id, cursor)

    async def answer(self) -> Answer:
        """Waits for the ending, and folds all events into the answer. Raises as `tail` does."""
        answer = Answer()
        async for event in self.tail():
            answer.add(event)
        return answer

    async def cancel(self, reason: str = "") -> CancelOutcome:
        """Stops the job: at once where it has not started, else within 100 ms by its worker.

        Returns what the call did; on a job that has ended it changes nothing.

        Raises:
            JobNotFound: There is no stream.
        """
        done = await attempts.cancel(
            self._broker, self._keys, self.id, _utf8(reason), keep_seconds=self._settings.keep_seconds
        )
        if done.outcome is CancelOutcome.CANCELLED:
            # The announcement goes before the withdrawal: should we die in between, a worker finds the job and
            # announces its ending again.
            ended = JobEnding(job_id=self.id, tenant=done.tenant, ending=done.ending)
            await close(self._broker, self._keys, ended, keep_seconds=self._settings.keep_seconds)
            await enqueue.withdraw(self._broker, self._keys, self.id, done.queue)
        return done.outcome

    async def status(self) -> JobStatus:
        """What its stream and record say now.

        Raises:
            JobNotFound: There is no stream.
        """
        newest, record = await self._broker.pipeline(
            ("XREVRANGE", self._keys.events(self.id), "+", "-", "COUNT", 1),
            ("HMGET", self._keys.record(self.id), "tenant", "queue", "provider", "model", "queued_at"),
        )
        if not newest:
            raise no_stream(self.id)
        entry_id, fields = newest[0]
        event = decode(entry_id, fields)
        said = event.type if event else ""
        tenant, queue, provider, model, queued_at = (part or b"" for part in record)
        return JobStatus(
            job_id=self.id,
            state=JobState(said) if said in _TELLING else JobState.RUNNING,
            tenant=tenant.decode(),
            queue=queue.decode(),
            provider=provider.decode(),
            model=model.decode(),
            queued_at=int(queued_at or 0),
            cursor=EntryId.decode(entry_id),
        )

    async def delete(self) -> None:
        """Removes everything of the job at once. A worker that runs it stops at its next append.

        Raises:
            JobNotFound: There is nothing of it.
        """
        await enqueue.delete(self._broker, self._keys, self.id)


def _utf8(text: str) -> str:
    """A lone surrogate, which has no UTF-8, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
