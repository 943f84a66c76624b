"""`Job`: the handle of a job. Anyone who holds the id of a job can make one."""

import json
from typing import Any, Literal, Unpack, cast, overload

from pydantic import ValidationError

from tailrace.answer import Answer, Snapshot
from tailrace.broker.client import Broker, text
from tailrace.cursor import BEGINNING, EntryId
from tailrace.errors import InvalidRequest, JobNotFound
from tailrace.events import ENDINGS, Ending, Event, Failed, KeepAlive, Started
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
from tailrace.status import JobState, JobStatus
from tailrace.tailing.reader import Reader
from tailrace.tailing.tail import Tail
from tailrace.timing import Timing

_STATUS_FIELDS = ("tenant", "queue", "provider", "model", "queued_at", "regenerated_from")
"""The fields of the record that a status shows."""
_MS_DIGITS = 14
"""The most digits of a time in Unix ms: enough up to the year 5138."""
_STATES_OF_EVENTS = frozenset(JobState) - {JobState.RUNNING}
"""The states that have the name of a type of event."""


class Job:
    """The handle of a job.

    To make a handle costs no round trip, and to drop one changes nothing. Services get handles from `Tailrace.job`,
    `Tailrace.enqueue` and `Job.regenerate`.

    Args:
        job_id: The id of the job: 16 to 64 characters of `A-Z a-z 0-9 _ -`.
        broker: The connections to Redis.
        reader: The reader that all tails share.
        settings: The settings of the client.

    Raises:
        InvalidJobId: The text is not of the form of a job id.
    """

    def __init__(self, job_id: str, broker: Broker, reader: Reader, settings: Settings) -> None:
        self.id: str = checked_job_id(job_id)
        """The id of the job. Whoever holds it may read and cancel the job."""
        self._broker = broker
        self._reader = reader
        self._settings = settings
        self._keys = Keys(settings.prefix)
        self._cancel_requested_at: int | None = None
        """When `cancel` of this handle was first called, by the Redis server's clock, in Unix ms."""

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    @overload
    def tail(
        self, *, after: str | EntryId = ..., snapshot: Literal[False] = ..., keep_alive_seconds: None = ...
    ) -> Tail[Event]: ...

    @overload
    def tail(
        self, *, after: str | EntryId = ..., snapshot: bool, keep_alive_seconds: None = ...
    ) -> Tail[Event | Snapshot]: ...

    @overload
    def tail(
        self, *, after: str | EntryId = ..., snapshot: Literal[False] = ..., keep_alive_seconds: float
    ) -> Tail[Event | KeepAlive]: ...

    @overload
    def tail(
        self, *, after: str | EntryId = ..., snapshot: bool, keep_alive_seconds: float | None
    ) -> Tail[Event | Snapshot | KeepAlive]: ...

    def tail(
        self, *, after: str | EntryId = BEGINNING, snapshot: bool = False, keep_alive_seconds: float | None = None
    ) -> Tail[Event | Snapshot | KeepAlive]:
        """Read the job's stream from a cursor to the ending, and wait for events that are not there yet.

        Nothing is read before the first event is asked for. To leave the loop early does not touch the job. All tails
        of a client share two connections. A tail whose caller is slow delays no other tail: it reads the rest from the
        stream later.

        Args:
            after: The cursor of the last event that was read, such as `1-17`; by default the beginning of the stream.
            snapshot: True to begin with one `Snapshot`, the answer so far, in place of the events so far. If the answer
                has more than 4 MiB, the snapshot is its beginning, and the rest follows as events. It excludes `after`.
            keep_alive_seconds: After how many seconds without an event the tail yields a `KeepAlive`, again and again:
                above 0, up to 86,400 (a day). By default never.

        Returns:
            An asynchronous iterator over the events after the cursor, in the order of the stream; the last one is the
            ending. A `Gap` reports entries that Redis lost. The iteration raises these errors too:

            - `JobNotFound`: The job has no stream, or its stream went away before the ending.
            - `InvalidCursor`: `after` is ahead of the stream.
            - `BrokerUnavailable`: Redis was unavailable for the settings' `reconnect_seconds`; pass the `cursor` of the
              error to `tail(after=...)` to go on.
            - `BrokerRefused`: Redis refused to read the stream.

        Raises:
            InvalidCursor: `after` is not of the form `ATTEMPT-SEQ`.
            InvalidRequest: Both `after` and `snapshot` were given, or `keep_alive_seconds` is out of range.
        """
        return Tail(
            self._reader,
            self.id,
            EntryId.parse(after) if isinstance(after, str) else after,
            snapshot=self._settings if snapshot else None,
            keep_alive_seconds=keep_alive_seconds,
        )

    @overload
    async def open_tail(
        self, *, after: str | EntryId = ..., snapshot: Literal[False] = ..., keep_alive_seconds: None = ...
    ) -> Tail[Event]: ...

    @overload
    async def open_tail(
        self, *, after: str | EntryId = ..., snapshot: bool, keep_alive_seconds: None = ...
    ) -> Tail[Event | Snapshot]: ...

    @overload
    async def open_tail(
        self, *, after: str | EntryId = ..., snapshot: Literal[False] = ..., keep_alive_seconds: float
    ) -> Tail[Event | KeepAlive]: ...

    @overload
    async def open_tail(
        self, *, after: str | EntryId = ..., snapshot: bool, keep_alive_seconds: float | None
    ) -> Tail[Event | Snapshot | KeepAlive]: ...

    async def open_tail(
        self, *, after: str | EntryId = BEGINNING, snapshot: bool = False, keep_alive_seconds: float | None = None
    ) -> Tail[Event | Snapshot | KeepAlive]:
        """Open a tail, and read the stream for the first time: what is wrong is raised here, before the first event.

        Args:
            after: The cursor of the last event that was read, as for `tail`.
            snapshot: True to begin with one `Snapshot`, as for `tail`.
            keep_alive_seconds: After how many seconds without an event the tail yields a `KeepAlive`, as for `tail`.

        Returns:
            The tail, as `tail` returns it. If its `at_end` is true, the cursor is at the ending, and no event will
            come.

        Raises:
            JobNotFound: The job has no stream.
            InvalidCursor: `after` is not of the form `ATTEMPT-SEQ`, or is ahead of the stream.
            InvalidRequest: Both `after` and `snapshot` were given, or `keep_alive_seconds` is out of range.
            BrokerUnavailable: Redis was unavailable for the settings' `reconnect_seconds`.
            BrokerRefused: Redis refused to read the stream.
        """
        return await self.tail(after=after, snapshot=snapshot, keep_alive_seconds=keep_alive_seconds).open()

    async def answer(self) -> Answer:
        """Wait for the ending, and join all events into the answer.

        Returns:
            The whole answer. Its `ending` says whether the job completed, failed or was cancelled.

        Raises:
            JobNotFound: The job has no stream, or its stream went away before the ending.
            BrokerUnavailable: Redis was unavailable for the settings' `reconnect_seconds`.
            BrokerRefused: Redis refused to read the stream.
        """
        answer = Answer(self._settings)
        async with self.tail() as tail:
            async for event in tail:
                answer.add(event)
        answer.cancel_requested_at = self._cancel_requested_at
        return answer

    async def cancel(self, reason: str = "") -> CancelOutcome:
        """Stop the job: at once if no attempt has started, otherwise by its worker within 100 ms.

        Args:
            reason: The `reason` of the `cancelled` event, for example who stopped the job.

        Returns:
            What the call did. A job that has ended stays as it is.

        Raises:
            JobNotFound: The job has no stream.
            BrokerUnavailable: Redis cannot be reached; the job may be cancelled nevertheless.
            BrokerRefused: Redis refused.
        """
        done = await cancel(self._broker, self._keys, self.id, _utf8(reason), keep_seconds=self._settings.keep_seconds)
        if done.outcome is not CancelOutcome.ENDED and self._cancel_requested_at is None:
            self._cancel_requested_at = done.at
        if done.outcome is CancelOutcome.CANCELLED or await self._waits_after_its_ending(done):
            # The announcement goes before the withdrawal: if this process dies in between, a worker finds the job and
            # announces its ending again.
            ended = JobEnding(job_id=self.id, tenant=done.tenant, ending=ENDINGS[done.ending])
            await close(self._broker, self._keys, ended, keep_seconds=self._settings.keep_seconds)
            await queue.withdraw(self._broker, self._keys, self.id, done.queue)
        return done.outcome

    async def _waits_after_its_ending(self, done: Cancellation) -> bool:
        """True if the job has ended and still waits in its queue, because an earlier canceller died half-way."""
        if done.outcome is not CancelOutcome.ENDED:
            return False
        return await self._broker.call("ZSCORE", self._keys.queue(done.queue), self.id) is not None

    async def regenerate(self, **changes: Unpack[RequestChanges]) -> "Job":
        """Enqueue the job's request again, with some fields changed, for the same tenant in the same queue.

        The job itself goes on if it still runs. If `provider` changes, the `extra` of the old request is dropped, as
        with a fallback. The statuses of the two jobs name each other, for as long as each is kept.

        Args:
            **changes: Fields of `GenerationRequest`, as its constructor takes them.

        Returns:
            The new job.

        Raises:
            JobNotFound: The job has no record, and so no request.
            InvalidRequest: The request is not valid with the changes.
            RequestTooLarge: The JSON of the request is larger than the settings' `max_request_bytes`.
            QueueFull: `max_queued` jobs wait already; the new job was not enqueued.
            BrokerUnavailable: Redis cannot be reached; the new job may have been enqueued nevertheless.
            BrokerRefused: Redis refused, for example because it is out of memory.
        """
        stored, tenant, queue_name = await self._broker.call(
            "HMGET", self._keys.record(self.id), "request", "tenant", "queue"
        )
        if stored is None:
            raise JobNotFound(
                f"Job {self.id!r} has no record to regenerate from: it expired, was deleted, or was never enqueued."
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
        """Read the request of the job.

        Returns:
            The request, as it was enqueued.

        Raises:
            JobNotFound: The job has no record.
            InvalidRequest: The stored request is not valid in this version.
            NewerRequest: The stored request has fields or values that this version does not know.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused to read the record.
        """
        stored = await self._broker.call("HGET", self._keys.record(self.id), "request")
        if stored is None:
            raise JobNotFound(f"Job {self.id!r} has no record: it expired, was deleted, or was never enqueued.")
        return GenerationRequest.from_json(stored)

    async def status(self) -> JobStatus:
        """Read the state of the job from its stream and its record.

        Returns:
            The status at this moment.

        Raises:
            JobNotFound: The job has no stream.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused to read the stream or the record.
        """
        newest, record, regenerated_as = await self._broker.pipeline(
            ("XREVRANGE", self._keys.events(self.id), "+", "-", "COUNT", 1),
            ("HMGET", self._keys.record(self.id), *_STATUS_FIELDS),
            ("LRANGE", self._keys.regenerated(self.id), 0, -1),
        )
        if not newest:
            raise no_stream(self.id)
        entry_id, fields = newest[0]
        event = decode(entry_id, fields)
        state = JobState(event.type) if event and event.type in _STATES_OF_EVENTS else JobState.RUNNING
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
        """Delete the stream, the record and all other keys of the job. A worker that runs it stops at its next append.

        Raises:
            JobNotFound: The job has no keys.
            BrokerUnavailable: Redis cannot be reached; the job may be deleted nevertheless.
            BrokerRefused: Redis refused.
        """
        await queue.delete(self._broker, self._keys, self.id)

    async def _started(self, newest: bytes) -> Started | None:
        """Read the `started` of the attempt that an entry belongs to; `None` if Redis has lost it."""
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
        # A stock arq client can enqueue anything as the request.
        raise InvalidRequest("The job was enqueued without a request, so there is nothing to regenerate.")
    request = cast("dict[str, Any]", fields)
    if "provider" in changes and changes["provider"] != request.get("provider"):
        request.pop("extra", None)
    try:
        return GenerationRequest.model_validate({**request, **changes})
    except ValidationError as error:
        raise InvalidRequest(described(error)) from None


def _unix_ms(digits: bytes) -> int:
    """Return a time in Unix ms, or 0 if the text is not one."""
    return int(digits) if digits.isdigit() and len(digits) <= _MS_DIGITS else 0


def _utf8(reason: str) -> str:
    """Replace lone surrogates by question marks, because UTF-8 cannot encode them."""
    return reason.encode("utf-8", "replace").decode()
