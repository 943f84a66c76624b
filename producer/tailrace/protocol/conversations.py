"""Conversations: at most one job of each is active. Enqueues a conversation's next job, and finds the active one.

A conversation is one sorted set on the queue's side: the ids of its newest jobs, by the time of their enqueue. It holds
no state that has to be cleared. Whether a job is active is derived, each time, from two things that end with it:

- on the queue's side, the job is held: arq's body of it, or a worker's mark, exists until the job is released;
- on the job's side, it is not over: its stream exists and has no ending, nobody has asked to cancel it, and it has not
  waited for longer than it may.

So a dead worker, a deleted job, an expiry or a lost key leaves no conversation busy: what remains of the job is not
active, or has an expiry of its own. A job whose worker was lost waits for a takeover, and stays active.

The enqueue script decides on the queue's side, in one step: if the newest job of the conversation is held, it changes
nothing and names that job; otherwise it adds the new job and enqueues it. No two calls can both find the conversation
free, and it never names a job that was not enqueued. No script may look at the job's side too, so the caller does: if
the named job is over, or is then cancelled, the caller calls again with its id. The script goes on if that job is still
the newest one. If not, another caller was faster, whose job it names.

An ending is appended before its job is released. Because the caller looks at the stream, a client that has read the
ending can enqueue the next job at once.
"""

from typing import Final, Literal, TypeAlias, cast

from tailrace.broker.client import Broker, text
from tailrace.errors import ConversationBusy, InvalidRequest, JobNotFound, QueueFull
from tailrace.events import ENDINGS
from tailrace.protocol import queue
from tailrace.protocol.cancellation import cancel
from tailrace.protocol.endings import newest_entry
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, new_job_id
from tailrace.protocol.labels import is_short_text
from tailrace.protocol.new_job import Enqueued, NewJob, create_command, enqueue_command
from tailrace.protocol.scripts import Script

IfActive: TypeAlias = Literal["reject", "interrupt"]
"""What `enqueue` does if the conversation has an active job."""

_INTERRUPTED: Final = "interrupted by the next job of the conversation"


def checked_conversation(conversation: str) -> str:
    """Check the id of a conversation.

    Args:
        conversation: The text to check.

    Returns:
        The same text.

    Raises:
        InvalidRequest: It is not a text of 1 to 256 characters.
    """
    if not conversation or not is_short_text(conversation):
        raise InvalidRequest(f"conversation: {conversation!r} is not a text of 1 to 256 characters.")
    return conversation


def checked_if_active(if_active: IfActive) -> IfActive:
    """Check what is to be done if a conversation is busy.

    Args:
        if_active: The value to check.

    Returns:
        The same value.

    Raises:
        InvalidRequest: It is neither `"reject"` nor `"interrupt"`.
    """
    if if_active not in ("reject", "interrupt"):
        raise InvalidRequest(f"if_active: {if_active!r} is not known. Give 'reject' or 'interrupt'.")
    return if_active


async def enqueue(
    broker: Broker,
    keys: Keys,
    job: NewJob,
    *,
    if_active: IfActive,
    keep_seconds: float,
    idempotency_key: str | None = None,
) -> Enqueued:
    """Enqueue a job: in one round trip, unless it has an idempotency key or finds its conversation busy.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job: The job.
        if_active: What is done with an active job of the conversation.
        keep_seconds: How long a job that is cancelled here is kept, in seconds.
        idempotency_key: The idempotency key, if there is one.

    Returns:
        The job, or the first one under the key.

    Raises:
        ConversationBusy: Another job of the conversation is active; the job was not enqueued.
        QueueFull: `max_queued` jobs wait already; the job was not enqueued.
        IdempotencyConflict: The first job under the key has another request or conversation.
        BrokerUnavailable: Redis cannot be reached; the job may have been enqueued nevertheless.
        BrokerRefused: Redis refused.
    """
    if job.conversation is None:
        if idempotency_key is None:
            return Enqueued(await queue.enqueue(broker, keys, job), is_new=True)
        return await queue.enqueue_once(broker, keys, job, idempotency_key)
    turn = _Turn(broker, keys, job, job.conversation, interrupts=if_active == "interrupt", keep_seconds=keep_seconds)
    if idempotency_key is None:
        return Enqueued(await turn.enqueue(), is_new=True)
    while True:
        enqueued = await turn.enqueue_once(idempotency_key)
        # Another call with the same key was refused, and took the key back.
        if enqueued is not None:
            return enqueued


async def read_active(broker: Broker, keys: Keys, tenant: str, conversation: str) -> str | None:
    """Find the active job of a conversation.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        tenant: The tenant of the conversation.
        conversation: The id of the conversation.

    Returns:
        The id of the job, or `None` if no job is active.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    newest = await broker.call("ZRANGE", keys.conversation(tenant, conversation), -1, -1)
    if not newest:
        return None
    job_id = text(newest[0])
    if not await broker.call("EXISTS", arq_job(job_id), arq_in_progress(job_id)):
        return None
    return None if await _is_over(broker, keys, job_id) else job_id


async def _is_over(broker: Broker, keys: Keys, job_id: str) -> bool:
    """Look at a job's side: True if the job will say nothing more that a reader should wait for."""
    newest, is_cancelled, expires_at, (seconds, _) = await broker.pipeline(
        newest_entry(keys, job_id),
        ("EXISTS", keys.cancel(job_id)),
        ("HGET", keys.record(job_id), "expires_at"),
        ("TIME",),
    )
    if not newest or is_cancelled:
        return True
    last = text(newest[0][1].get(b"type", b""))
    # Its `queued` is the last entry until a worker or a reader finds that it waited for too long.
    has_expired = last == "queued" and expires_at is not None and int(seconds) * 1_000 > int(expires_at)
    return last in ENDINGS or has_expired


class _Turn:
    """One call that enqueues the next job of a conversation."""

    def __init__(
        self, broker: Broker, keys: Keys, job: NewJob, conversation: str, *, interrupts: bool, keep_seconds: float
    ) -> None:
        self._broker = broker
        self._keys = keys
        self._job = job
        self._conversation = conversation
        self._interrupts = interrupts
        self._keep_seconds = keep_seconds

    async def enqueue(self) -> str:
        """Enqueue the job under a new id."""
        job_id = new_job_id()
        state, placed = await self._broker.pipeline(
            create_command(self._keys, job_id, self._job),
            enqueue_command(self._keys, {job_id: self._job}, limit=self._job.max_queued),
        )
        # If it has begun, the pipeline was sent twice, because the first reply was lost.
        refusal = None if state == b"begun" else await self._place(job_id, placed)
        if refusal is not None:
            await self._broker.call("UNLINK", *queue.created(self._keys, job_id))
            raise refusal
        return job_id

    async def enqueue_once(self, idempotency_key: str) -> Enqueued | None:
        """Enqueue the job that a key stands for; return `None` if the key does not stand for it any more."""
        # The queue's limit is applied when the job is enqueued, so that a job that is interrupted leaves its place.
        admission = await queue.admit(self._broker, self._keys, self._job, idempotency_key, limit=0)
        admitted = cast("Enqueued", admission)
        job_id = admitted.job_id
        if await queue.create_once(self._broker, self._keys, job_id, self._job, idempotency_key):
            return admitted
        key = self._keys.idempotency(self._job.tenant, idempotency_key)
        refusal = await self._place(job_id, await self._enqueue(job_id, key=key), key=key)
        if refusal is None:
            return admitted
        at = key, arq_job(job_id), self._keys.conversation(self._job.tenant, self._conversation)
        if not await self._broker.call(*Script.RETRACT.command(at, job_id)):
            return admitted
        await self._broker.call("UNLINK", *queue.created(self._keys, job_id))
        if isinstance(refusal, _Forgotten):
            return None
        raise refusal

    async def _place(self, job_id: str, placed: list[bytes | int], *, key: str | None = None) -> Exception | None:
        """Read the reply to the enqueue script, and call it again as long as the job that it names is over.

        Returns:
            Why the job was not enqueued; `None` if it was.
        """
        while True:
            match placed:
                case [b"busy", bytes() as named]:
                    active = text(named)
                    if not await _is_over(self._broker, self._keys, active):
                        if not self._interrupts:
                            return ConversationBusy(self._conversation, active)
                        await self._interrupt(active)
                    placed = await self._enqueue(job_id, over=active, key=key)
                case [b"full", int() as depth]:
                    return QueueFull(self._job.queue, depth=depth, limit=self._job.max_queued)
                case [b"forgotten"]:
                    return _Forgotten()
                case _:
                    return None

    async def _enqueue(self, job_id: str, *, over: str = "", key: str | None = None) -> list[bytes | int]:
        jobs, limit = {job_id: self._job}, self._job.max_queued
        placed: list[bytes | int] = await self._broker.call(
            *enqueue_command(self._keys, jobs, limit=limit, over=over, idempotency=key)
        )
        return placed

    async def _interrupt(self, active: str) -> None:
        try:
            await cancel(self._broker, self._keys, active, _INTERRUPTED, keep_seconds=self._keep_seconds)
        except JobNotFound:
            # It was deleted, or has expired, since it was looked at.
            return


class _Forgotten(Exception):
    """The idempotency key was taken back by another call, which was refused."""
