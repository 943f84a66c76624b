"""`Job`: the handle of a job, with methods that block."""

from typing import Any, Literal, overload

from tailrace import job as asynchronous
from tailrace.answer import Answer, Snapshot
from tailrace.cursor import BEGINNING, EntryId
from tailrace.events import Event, KeepAlive
from tailrace.protocol.cancellation import CancelOutcome
from tailrace.protocol.keys import checked_job_id
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace.status import JobStatus
from tailrace.sync.session import Session, Sessions
from tailrace.sync.signature import signature_of
from tailrace.sync.tail import Tail


class Job:
    """The handle of a job. Any number of threads may share it.

    Making a handle costs no round trip, and dropping one changes nothing. Services get handles from `Tailrace.job`,
    `Tailrace.enqueue` and `Job.regenerate`.

    Args:
        job_id: The id of the job: 16 to 64 characters of `A-Z a-z 0-9 _ -`.
        sessions: The sessions of the client, one for each process.
        is_new: True if the job was just enqueued.

    Raises:
        InvalidJobId: The text is not of the form of a job id.
    """

    def __init__(self, job_id: str, sessions: Sessions, *, is_new: bool = False) -> None:
        self.id: str = checked_job_id(job_id)
        """The id of the job. Whoever holds it may read and cancel the job."""
        self.is_new: bool = is_new
        """True if the call that returned this handle enqueued the job. False if `Tailrace.enqueue` found it under an
        idempotency key, and for handles from `Tailrace.job`."""
        self._sessions = sessions
        self._handle: tuple[Session, asynchronous.Job] | None = None

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
        a client share two connections.

        Args:
            after: The cursor of the last event that was read, such as `1-17`; by default the beginning of the stream.
            snapshot: True to begin with one `Snapshot`, the answer so far, in place of the events so far. If the answer
                has more than 4 MiB, the snapshot is its beginning, and the rest follows as events. It excludes `after`.
            keep_alive_seconds: The length in seconds of a silence after which the tail yields a `KeepAlive`: above 0,
                up to 86,400 (a day). By default it yields none. Web frameworks need it, because they notice that a
                client has left only when they write.

        Returns:
            An iterator over the events after the cursor, in the order of the stream; the last one is the ending. A
            `Gap` reports entries that Redis lost. The iteration raises these errors too:

            - `JobNotFound`: The job has no stream, or its stream went away before the ending.
            - `InvalidCursor`: `after` is ahead of the stream.
            - `BrokerUnavailable`: Redis was unavailable for the settings' `reconnect_seconds`; pass the `cursor` of the
              error to `tail(after=...)` to go on.
            - `BrokerRefused`: Redis refused to read the stream.

        Raises:
            InvalidCursor: `after` is not of the form `ATTEMPT-SEQ`.
            InvalidRequest: Both `after` and `snapshot` were given, or `keep_alive_seconds` is out of range.
        """
        session, job = self._current()
        tail = job.tail(after=after, snapshot=snapshot, keep_alive_seconds=keep_alive_seconds)
        return Tail(session, tail, str(after))

    @overload
    def open_tail(
        self, *, after: str | EntryId = ..., snapshot: Literal[False] = ..., keep_alive_seconds: None = ...
    ) -> Tail[Event]: ...

    @overload
    def open_tail(
        self, *, after: str | EntryId = ..., snapshot: bool, keep_alive_seconds: None = ...
    ) -> Tail[Event | Snapshot]: ...

    @overload
    def open_tail(
        self, *, after: str | EntryId = ..., snapshot: Literal[False] = ..., keep_alive_seconds: float
    ) -> Tail[Event | KeepAlive]: ...

    @overload
    def open_tail(
        self, *, after: str | EntryId = ..., snapshot: bool, keep_alive_seconds: float | None
    ) -> Tail[Event | Snapshot | KeepAlive]: ...

    def open_tail(
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
        session, job = self._current()
        opened = session.run(
            lambda: job.open_tail(after=after, snapshot=snapshot, keep_alive_seconds=keep_alive_seconds)
        )
        return Tail(session, opened, str(after))

    @signature_of(asynchronous.Job.answer)
    def answer(self) -> Answer:
        """Wait for the ending, and join all events into the answer."""
        session, job = self._current()
        return session.run(job.answer)

    @signature_of(asynchronous.Job.cancel)
    def cancel(self, *args: Any, **kwargs: Any) -> CancelOutcome:
        """Stop the job: at once if no attempt has started, otherwise by its worker within 100 ms."""
        session, job = self._current()
        return session.run(lambda: job.cancel(*args, **kwargs))

    @signature_of(asynchronous.Job.regenerate)
    def regenerate(self, *args: Any, **kwargs: Any) -> "Job":
        """Enqueue the job's request again, with some fields changed, for the same tenant in the same queue."""
        session, job = self._current()
        regenerated = session.run(lambda: job.regenerate(*args, **kwargs))
        return Job(regenerated.id, self._sessions, is_new=regenerated.is_new)

    @signature_of(asynchronous.Job.request)
    def request(self) -> GenerationRequest | VerbatimRequest:
        """Read the request of the job."""
        session, job = self._current()
        return session.run(job.request)

    @signature_of(asynchronous.Job.front)
    def front(self) -> dict[str, Any]:
        """Read what an HTTP API in front of tailrace keeps with the job."""
        session, job = self._current()
        return session.run(job.front)

    @signature_of(asynchronous.Job.status)
    def status(self) -> JobStatus:
        """Read the state of the job from its stream and its record."""
        session, job = self._current()
        return session.run(job.status)

    @signature_of(asynchronous.Job.delete)
    def delete(self) -> None:
        """Delete the stream, the record and all other keys of the job. A worker that runs it stops at its next append."""  # noqa: E501
        session, job = self._current()
        session.run(job.delete)

    def _current(self) -> tuple[Session, asynchronous.Job]:
        """Return the session of this process, and its handle, which remembers when it requested a cancel."""
        session = self._sessions.current()
        if self._handle is None or self._handle[0] is not session:
            self._handle = (session, session.client.job(self.id))
        return self._handle
