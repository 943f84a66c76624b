"""`Job`: the handle of a job. Anyone who holds the id of a job can make one."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Unpack, cast, overload

from pydantic import ValidationError

from tailrace.answer import Answer, Snapshot
from tailrace.broker.client import Broker, text
from tailrace.cursor import BEGINNING, EntryId
from tailrace.errors import InvalidRequest, JobNotFound
from tailrace.events import Event, KeepAlive
from tailrace.protocol import queue
from tailrace.protocol.cancellation import CancelOutcome, cancel
from tailrace.protocol.conversations import IfActive, checked_if_active, enqueue
from tailrace.protocol.front import decode_front
from tailrace.protocol.job_end import no_stream
from tailrace.protocol.keys import Keys, checked_job_id
from tailrace.protocol.labels import decode_labels
from tailrace.protocol.new_job import NewJob
from tailrace.protocol.scripts import Script
from tailrace.request.any_request import AnyRequest, read_request
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.request_fields import RequestChanges
from tailrace.request.validation import described
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace.settings import Settings
from tailrace.status import JobStatus
from tailrace.status_reader import read_statuses
from tailrace.tailing.reader import Reader
from tailrace.tailing.tail import Tail


class Job:
    """The handle of a job.

    Making a handle costs no round trip, and dropping one changes nothing. Services get handles from `Tailrace.job`,
    `Tailrace.enqueue` and `Job.regenerate`.

    Args:
        job_id: The id of the job: 16 to 64 characters of `A-Z a-z 0-9 _ -`.
        broker: The connections to Redis.
        reader: The reader that all tails share.
        settings: The settings of the client.
        is_new: True if the job was just enqueued.

    Raises:
        InvalidJobId: The text is not of the form of a job id.
    """

    def __init__(
        self, job_id: str, broker: Broker, reader: Reader, settings: Settings, *, is_new: bool = False
    ) -> None:
        self.id: str = checked_job_id(job_id)
        """The id of the job. Whoever holds it may read and cancel the job."""
        self.is_new: bool = is_new
        """True if the call that returned this handle enqueued the job. False if `Tailrace.enqueue` found it under an
        idempotency key, and for handles from `Tailrace.job`."""
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

        Nothing is read until you ask for the first event. Leaving the loop early does not affect the job. All tails of
        a client share two connections. If the caller of a tail is slow, its events stay in the stream, and no other
        tail is delayed.

        Args:
            after: The cursor of the last event that was read, such as `1-17`; by default the beginning of the stream.
            snapshot: True to begin with one `Snapshot`, the answer so far, in place of the events so far. If the answer
                has more than 4 MiB, the snapshot is its beginning, and the rest follows as events. It excludes `after`.
            keep_alive_seconds: The length in seconds of a silence after which the tail yields a `KeepAlive`: above 0,
                up to 86,400 (a day). By default it yields none.

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
        """Open a tail, and read the stream for the first time, so that errors are raised before the first event.

        Args:
            after: The cursor of the last event that was read, as for `tail`.
            snapshot: True to begin with one `Snapshot`, as for `tail`.
            keep_alive_seconds: The silence in seconds after which the tail yields a `KeepAlive`, as for `tail`.

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
        return done.outcome

    async def regenerate(
        self,
        *,
        if_active: IfActive = "reject",
        labels: Mapping[str, str] | None = None,
        **changes: Unpack[RequestChanges],
    ) -> "Job":
        """Enqueue the job's request again, with some fields changed, for the same tenant in the same queue.

        The new job belongs to the same conversation, which has one active job at a time. Without a conversation, this
        job goes on if it still runs. If `provider` changes, the `extra` of the old request is dropped, as with a
        fallback. The statuses of the two jobs name each other, for as long as each is kept.

        Args:
            if_active: What to do if the conversation has an active job, such as this one: `"reject"` to raise
                `ConversationBusy`, `"interrupt"` to cancel the active job.
            labels: The labels of the new job; by default those of the job.
            **changes: Fields of `GenerationRequest`, or of `VerbatimRequest` if the job has one, as the constructor
                takes them.

        Returns:
            The new job.

        Raises:
            JobNotFound: The job has no record, and so no request.
            InvalidRequest: The request is not valid with the changes, or `if_active` or the labels are not valid.
            RequestTooLarge: The JSON of the request is larger than the settings' `max_request_bytes`.
            ConversationBusy: Another job of the conversation is active; the new job was not enqueued.
            QueueFull: `max_queued` jobs wait already; the new job was not enqueued.
            BrokerUnavailable: Redis cannot be reached; the new job may have been enqueued nevertheless.
            BrokerRefused: Redis refused, for example because it is out of memory.
        """
        stored, tenant, queue_name, conversation, old_labels = await self._broker.call(
            "HMGET", self._keys.record(self.id), "request", "tenant", "queue", "conversation", "labels"
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
            conversation=None if conversation is None else text(conversation),
            labels=decode_labels(old_labels) if labels is None else labels,
        )
        job_id, is_new = await enqueue(
            self._broker,
            self._keys,
            new_job,
            if_active=checked_if_active(if_active),
            keep_seconds=self._settings.keep_seconds,
        )
        linked = (self._keys.regenerated(self.id), self._keys.record(self.id))
        await self._broker.call(*Script.LINK_REGENERATED.command(linked, job_id))
        return Job(job_id, self._broker, self._reader, self._settings, is_new=is_new)

    async def request(self) -> GenerationRequest | VerbatimRequest:
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
        return read_request(stored)

    async def front(self) -> dict[str, Any]:
        """Read what an HTTP API in front of tailrace keeps with the job.

        Returns:
            The `front` that the job was enqueued with; empty if there was none.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused to read the record.
        """
        return decode_front(await self._broker.call("HGET", self._keys.record(self.id), "front"))

    async def status(self) -> JobStatus:
        """Read the state of the job from its stream and its record.

        Returns:
            The status at this moment.

        Raises:
            JobNotFound: The job has no stream.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused to read the stream or the record.
        """
        (status,) = await read_statuses(
            self._broker, self._keys, self._settings, [self.id], cancel_requested_at=self._cancel_requested_at
        )
        if status is None:
            raise no_stream(self.id)
        return status

    async def delete(self) -> None:
        """Delete the stream, the record and all other keys of the job. A worker that runs it stops at its next append.

        Raises:
            JobNotFound: The job has no keys.
            BrokerUnavailable: Redis cannot be reached; the job may be deleted nevertheless.
            BrokerRefused: Redis refused.
        """
        await queue.delete(self._broker, self._keys, self.id)


def _changed(stored: bytes, changes: RequestChanges) -> AnyRequest:
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
        return (VerbatimRequest if "body" in request else GenerationRequest).model_validate({**request, **changes})
    except ValidationError as error:
        raise InvalidRequest(described(error)) from None


def _utf8(reason: str) -> str:
    """Replace lone surrogates by question marks, because UTF-8 cannot encode them."""
    return reason.encode("utf-8", "replace").decode()
