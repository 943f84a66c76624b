"""`Job`: the handle of a job, which anyone who holds its id can make."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Unpack, cast, overload

from pydantic import ValidationError

from tailrace.answer import Answer, Snapshot
from tailrace.broker.client import Broker, text
from tailrace.cursor import BEGINNING, EntryId
from tailrace.errors import InvalidRequest, JobNotFound
from tailrace.events import ENDINGS, Ending, Event, Failed, Started
from tailrace.protocol import queue
from tailrace.protocol.cancellation import Cancellation, CancelOutcome, cancel
from tailrace.protocol.endings import JobEnding, close
from tailrace.protocol.entries import decode
from tailrace.protocol.job_end import no_stream
from tailrace.protocol.keys import Keys, checked_job_id
from tailrace.protocol.queue import NewJob
from tailrace.protocol.scripts import Script
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.request_fields import RequestChanges
from tailrace.request.validation import described
from tailrace.settings import Settings
from tailrace.tailing.reader import Reader
from tailrace.tailing.tail import tail, tail_with_snapshot
from tailrace.timing import Timing


class JobState(StrEnum):
    """How far a job is, read off the last entry of its stream."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_TOLD = ("tenant", "queue", "provider", "model", "queued_at", "regenerated_from")
_MS_DIGITS = 14
"""Of the years up to 5138."""
_TELLING = frozenset(JobState) - {JobState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job, at one moment."""

    job_id: str
    state: JobState
    tenant: str
    queue: str
    provider: str
    """The one that answered, once the job has ended; the one that the attempt began with, while it runs."""
    model: str
    queued_at: int
    """Unix ms."""
    cursor: EntryId
    """The last entry of the stream."""
    regenerated_from: str | None = None
    """The job whose request this one asks again."""
    regenerated_as: tuple[str, ...] = ()
    """The jobs that ask this one's request again, oldest first."""
    timing: Timing | None = None
    """How long it took, and whether that is good; `None` before the ending."""
    code: str | None = None
    """Why it failed: one of `FailureCode`."""
    message: str | None = None
    """The same in words."""
    attempt: int | None = None
    """The attempt that runs."""
    worker: str | None = None
    """The worker that runs it: `host:pid`."""


class Job:
    """A job, by its id. Making one asks nothing of Redis; handles may be shared and dropped freely."""

    def __init__(self, job_id: str, broker: Broker, reader: Reader, settings: Settings) -> None:
        self.id: str = checked_job_id(job_id)
        self._broker = broker
        self._reader = reader
        self._settings = settings
        self._keys = Keys(settings.prefix)
        self._cancel_requested_at: int | None = None
        """When this handle first asked for it, in Unix ms of the server."""

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    @overload
    def tail(
        self, *, after: str | EntryId = BEGINNING, snapshot: Literal[False] = False
    ) -> AsyncGenerator[Event, None]: ...

    @overload
    def tail(self, *, after: str | EntryId = BEGINNING, snapshot: bool) -> AsyncGenerator[Event | Snapshot, None]: ...

    def tail(
        self, *, after: str | EntryId = BEGINNING, snapshot: bool = False
    ) -> AsyncGenerator[Event, None] | AsyncGenerator[Event | Snapshot, None]:
        """Yields the events behind a cursor, first those of the past, until the ending; leaving it costs nothing.

        Any number of tails share two connections. One that is not read for a while is handed nothing more, slows
        nobody, and reads on from the stream. A `gap` tells of entries that a Redis which failed over has lost.

        With `snapshot` the first event is one `snapshot`, the answer so far, in place of the past. If the answer has
        more than 4 MiB, the snapshot is its beginning, and the rest comes as events.

        Raises:
            JobNotFound: There is no stream, or it went away before its ending.
            InvalidCursor: `after` is not a cursor, or ahead of the stream.
            InvalidRequest: `after` and `snapshot` were given: both say where to begin.
            BrokerUnavailable: Redis was away for the settings' `reconnect_seconds`; its `cursor` is where to go on.
        """
        cursor = EntryId.parse(after) if isinstance(after, str) else after
        if not snapshot:
            return tail(self._reader, self.id, cursor)
        if cursor != BEGINNING:
            raise InvalidRequest(f"snapshot: it stands in place of the past, so after={str(cursor)!r} cannot be given.")
        return tail_with_snapshot(self._reader, self.id, self._settings)

    async def answer(self) -> Answer:
        """Waits for the ending, and folds all events into the answer. Raises as `tail` does."""
        answer = Answer(self._settings)
        async for event in self.tail():
            answer.add(event)
        answer.cancel_requested_at = self._cancel_requested_at
        return answer

    async def cancel(self, reason: str = "") -> CancelOutcome:
        """Stops the job: at once where it has not started, else within 100 ms by its worker.

        Returns what the call did; on a job that has ended it changes nothing.

        Raises:
            JobNotFound: There is no stream.
        """
        done = await cancel(self._broker, self._keys, self.id, _utf8(reason), keep_seconds=self._settings.keep_seconds)
        if done.outcome is not CancelOutcome.ENDED and self._cancel_requested_at is None:
            self._cancel_requested_at = done.at
        if done.outcome is CancelOutcome.CANCELLED or await self._waits_after_its_ending(done):
            # The announcement goes before the withdrawal: should we die in between, a worker finds the job and
            # announces its ending again.
            ended = JobEnding(job_id=self.id, tenant=done.tenant, ending=ENDINGS[done.ending])
            await close(self._broker, self._keys, ended, keep_seconds=self._settings.keep_seconds)
            await queue.withdraw(self._broker, self._keys, self.id, done.queue)
        return done.outcome

    async def _waits_after_its_ending(self, done: Cancellation) -> bool:
        """Whether an earlier canceller died half-way: the job is over, and a worker would find it when it is due."""
        if done.outcome is not CancelOutcome.ENDED:
            return False
        return await self._broker.call("ZSCORE", self._keys.queue(done.queue), self.id) is not None

    async def regenerate(self, **changes: Unpack[RequestChanges]) -> "Job":
        """Enqueue the job's request again, with fields of it changed, for the same tenant in the same queue.

        The job may still run. As with a fallback, `extra` goes along to no other provider. The two jobs name each
        other in their statuses, each for as long as it is kept.

        Args:
            **changes: Fields of `GenerationRequest`, as its constructor takes them.

        Returns:
            The new job.

        Raises:
            JobNotFound: The record is no more, and with it the request.
            InvalidRequest: The request does not validate with the changes.
            RequestTooLarge: It is over the limit of the settings.
            QueueFull: `max_queued` jobs wait already; nothing of the new one is left behind.
            BrokerUnavailable: Redis cannot be reached; the new job may have been enqueued all the same.
        """
        stored, tenant, queue_name = await self._broker.call(
            "HMGET", self._keys.record(self.id), "request", "tenant", "queue"
        )
        if stored is None:
            raise JobNotFound(
                f"Job {self.id!r} has no record to be regenerated from: it expired, was deleted, or was never enqueued."
            )
        new_job = NewJob.of(
            _changed(stored, changes),
            self._settings,
            tenant=text(tenant),
            queue=text(queue_name),
            regenerated_from=self.id,
        )
        job_id = await queue.enqueue(self._broker, self._keys, new_job)
        linked = (self._keys.regenerated(self.id), self._keys.record(self.id))
        await self._broker.call(*Script.LINK_REGENERATED.command(linked, job_id))
        return Job(job_id, self._broker, self._reader, self._settings)

    async def request(self) -> GenerationRequest:
        """What it asks for.

        Raises:
            JobNotFound: The record is no more.
        """
        stored = await self._broker.call("HGET", self._keys.record(self.id), "request")
        if stored is None:
            raise JobNotFound(f"Job {self.id!r} has no record: it expired, was deleted, or was never enqueued.")
        return GenerationRequest.from_json(stored)

    async def status(self) -> JobStatus:
        """What its stream and record say now.

        Raises:
            JobNotFound: There is no stream.
        """
        newest, record, regenerated_as = await self._broker.pipeline(
            ("XREVRANGE", self._keys.events(self.id), "+", "-", "COUNT", 1),
            ("HMGET", self._keys.record(self.id), *_TOLD),
            ("LRANGE", self._keys.regenerated(self.id), 0, -1),
        )
        if not newest:
            raise no_stream(self.id)
        entry_id, fields = newest[0]
        event = decode(entry_id, fields)
        state = JobState(event.type) if event and event.type in _TELLING else JobState.RUNNING
        started = await self._started(entry_id) if state is JobState.RUNNING else None
        named = event if isinstance(event, Ending) else started
        failed = event if isinstance(event, Failed) else None
        tenant, queue_name, provider, model, queued_at, regenerated_from = (part or b"" for part in record)
        return JobStatus(
            job_id=self.id,
            state=state,
            tenant=text(tenant),
            queue=text(queue_name),
            provider=(named and named.provider) or text(provider),
            model=(named and named.model) or text(model),
            queued_at=_unix_ms(queued_at),
            cursor=EntryId.decode(entry_id),
            regenerated_from=text(regenerated_from) or None,
            regenerated_as=tuple(map(text, regenerated_as)),
            timing=self._timing(event),
            code=failed.code if failed else None,
            message=failed.message if failed else None,
            attempt=started.attempt if started else None,
            worker=started.worker if started else None,
        )

    async def delete(self) -> None:
        """Removes everything of the job at once. A worker that runs it stops at its next append.

        Raises:
            JobNotFound: There is nothing of it.
        """
        await queue.delete(self._broker, self._keys, self.id)

    async def _started(self, newest: bytes) -> Started | None:
        """The beginning of the attempt of an entry, unless Redis has lost it."""
        attempt = EntryId.decode(newest).attempt
        first = await self._broker.call("XRANGE", self._keys.events(self.id), attempt, attempt, "COUNT", 1)
        event = decode(*first[0]) if first else None
        return event if isinstance(event, Started) else None

    def _timing(self, event: Event | None) -> Timing | None:
        if not isinstance(event, Ending):
            return None
        return Timing.of(event, self._settings, cancel_requested_at=self._cancel_requested_at)


def _changed(stored: bytes, changes: RequestChanges) -> GenerationRequest:
    try:
        fields: object = json.loads(stored)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        # A body of stock arq can carry anything.
        raise InvalidRequest("The job was enqueued with no request: there is nothing to ask again.")
    request = cast("dict[str, Any]", fields)
    if "provider" in changes and changes["provider"] != request.get("provider"):
        request.pop("extra", None)
    try:
        return GenerationRequest.model_validate({**request, **changes})
    except ValidationError as error:
        raise InvalidRequest(described(error)) from None


def _unix_ms(digits: bytes) -> int:
    """A time, or 0 where it is none."""
    return int(digits) if digits.isdigit() and len(digits) <= _MS_DIGITS else 0


def _utf8(reason: str) -> str:
    """A lone surrogate, which has no UTF-8, becomes a question mark."""
    return reason.encode("utf-8", "replace").decode()
