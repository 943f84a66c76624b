"""One active job a conversation, on the real server and on fakeredis: both must decide alike."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tailrace import (
    CancelOutcome,
    ConversationBusy,
    IdempotencyConflict,
    InvalidRequest,
    Job,
    QueueFull,
    Settings,
    Tailrace,
)
from tailrace.broker.client import Argument, Broker, Command
from tailrace.events import Cancelled
from tailrace.protocol.conversations import enqueue
from tailrace.protocol.endings import JobEnding, close
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, new_job_id
from tailrace.protocol.new_job import CONVERSATION_CAPACITY, NewJob, create_command, enqueue_command
from tailrace.protocol.scripts import Script
from tests.support.either_redis import broker, queued, tailrace
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream

__all__ = ["broker", "tailrace"]  # fixtures

CHAT = "chat-42"
OTHER = REQUEST.model_copy(update={"model": "gpt-6"})


async def turn(tailrace: Tailrace, **options: Any) -> Job:
    return await tailrace.enqueue(REQUEST, conversation=CHAT, **options)


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    """The first job of the conversation."""
    return await turn(tailrace)


@pytest.fixture
def stream(broker: Broker, keys: Keys, job: Job) -> HandwrittenStream:
    return HandwrittenStream(broker, keys, job)


async def run(stream: HandwrittenStream) -> None:
    """What a worker appends up to the ending; the job is not released yet."""
    await stream.append("1-2", STARTED)
    await stream.append("1-3", ENDING)


async def members(broker: Broker, keys: Keys, tenant: str = "default") -> list[str]:
    found: list[bytes] = await broker.call("ZRANGE", keys.conversation(tenant, CHAT), 0, -1)
    return [job_id.decode() for job_id in found]


async def active(tailrace: Tailrace) -> str | None:
    job = await tailrace.conversation(CHAT).active()
    return None if job is None else job.id


async def test_a_conversation_with_an_active_job_rejects_the_next_and_leaves_nothing_of_it(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys
) -> None:
    before = set(await broker.call("KEYS", "*"))
    with pytest.raises(ConversationBusy, match=f"'{CHAT}' has an active job, '{job.id}'") as caught:
        await turn(tailrace)
    assert (caught.value.job_id, caught.value.conversation) == (job.id, CHAT)
    assert {key for key in await broker.call("KEYS", "*") if keys.prefix.encode() in key} <= before
    assert await queued(broker, keys) == [job.id]
    assert await active(tailrace) == job.id


async def test_other_conversations_and_other_tenants_are_free(tailrace: Tailrace, job: Job) -> None:
    others = [await tailrace.enqueue(REQUEST, conversation="chat-43"), await turn(tailrace, tenant="acme")]
    assert [(await each.status()).conversation for each in others] == ["chat-43", CHAT]


async def test_an_active_job_is_interrupted_and_keeps_its_text(
    tailrace: Tailrace, job: Job, stream: HandwrittenStream, keys: Keys
) -> None:
    await stream.append("1-2", STARTED)
    second = await turn(tailrace, if_active="interrupt")
    assert await active(tailrace) == second.id
    assert await stream.call("EXISTS", keys.cancel(job.id)) == 1
    assert (await job.status()).state == "running"


async def test_a_job_that_waits_is_interrupted_and_leaves_its_queue(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys
) -> None:
    second = await turn(tailrace, if_active="interrupt")
    ending = (await job.answer()).ending
    assert isinstance(ending, Cancelled)
    assert ending.reason == "interrupted by the next job of the conversation"
    assert await queued(broker, keys) == [second.id]


async def test_the_next_job_may_be_enqueued_as_soon_as_the_ending_is_read(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    for _ in range(200):
        job = await turn(tailrace)
        await run(HandwrittenStream(broker, keys, job))
        # Its worker has not released it.
        assert await broker.call("EXISTS", arq_job(job.id)) == 1
        assert await active(tailrace) is None
    assert len(await members(broker, keys)) == CONVERSATION_CAPACITY


async def test_of_many_clients_that_enqueue_at_once_one_wins(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys
) -> None:
    clients = [Tailrace(redis, settings=settings) for _ in range(20)]
    for _ in range(5):
        done = await asyncio.gather(*(turn(client) for client in clients), return_exceptions=True)
        (winner,) = [each for each in done if isinstance(each, Job)]
        assert {each.job_id for each in done if isinstance(each, ConversationBusy)} == {winner.id}
        assert await queued(broker, keys) == [winner.id]
        # All find that it is over before its worker has released it.
        await run(HandwrittenStream(broker, keys, winner))
        await broker.call("ZREM", keys.queue("default"), winner.id)


async def test_of_many_clients_that_interrupt_at_once_the_last_job_stays(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys, job: Job
) -> None:
    clients = [Tailrace(redis, settings=settings) for _ in range(8)]
    jobs = await asyncio.gather(*(turn(client, if_active="interrupt") for client in clients))
    states = {each.id: (await each.status()).state for each in (job, *jobs)}
    (waiting,) = [job_id for job_id, state in states.items() if state == "queued"]
    assert await queued(broker, keys) == [waiting]
    assert (await members(broker, keys))[-1] == waiting


@pytest.mark.parametrize("if_active", ["reject", "interrupt"])
@pytest.mark.parametrize("end", ["cancel", "delete", "expire", "lose the queue's side"])
async def test_a_job_that_is_over_leaves_the_conversation_free(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys, end: str, if_active: str
) -> None:
    match end:
        case "cancel":
            await job.cancel()
        case "delete":
            await job.delete()
        case "expire":
            await broker.call("DEL", *keys.of_job(job.id))
        case _:
            await broker.call("DEL", arq_job(job.id))
    assert await active(tailrace) is None
    second = await turn(tailrace, if_active=if_active)
    assert await active(tailrace) == second.id


async def test_a_job_that_waited_for_too_long_leaves_the_conversation_free(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys
) -> None:
    await broker.call("HSET", keys.record(job.id), "expires_at", 1_000)
    assert await active(tailrace) is None
    assert (await turn(tailrace)).id != job.id


async def test_a_job_that_was_asked_to_stop_leaves_the_conversation_free(
    tailrace: Tailrace, job: Job, stream: HandwrittenStream
) -> None:
    await stream.append("1-2", STARTED)
    assert await tailrace.conversation(CHAT).stop("enough") == CancelOutcome.REQUESTED
    # Its worker has not appended the ending yet.
    assert await tailrace.conversation(CHAT).stop() is None
    await turn(tailrace)


async def test_a_job_whose_worker_was_lost_stays_active(
    tailrace: Tailrace, job: Job, stream: HandwrittenStream, broker: Broker, keys: Keys
) -> None:
    await stream.append("1-2", STARTED)
    await broker.pipeline(
        ("ZREM", keys.queue("default"), job.id),
        ("ZADD", keys.running("default"), 1, job.id),
        ("SET", arq_in_progress(job.id), "host:1:token"),
    )
    with pytest.raises(ConversationBusy):
        await turn(tailrace)
    # Its body has expired, and it runs on.
    await broker.call("DEL", arq_job(job.id))
    assert await active(tailrace) == job.id
    with pytest.raises(ConversationBusy):
        await turn(tailrace)


async def test_a_deferred_job_is_active(tailrace: Tailrace) -> None:
    later = await turn(tailrace, defer_seconds=60)
    with pytest.raises(ConversationBusy):
        await turn(tailrace)
    assert await active(tailrace) == later.id


async def test_a_lost_key_of_the_conversation_leaves_it_free(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys
) -> None:
    await broker.call("DEL", keys.conversation("default", CHAT))
    assert await active(tailrace) is None
    second = await turn(tailrace)
    assert await members(broker, keys) == [second.id]


async def test_a_full_queue_leaves_the_conversation_as_it_was(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys
) -> None:
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"max_queued": 1}))
    await tailrace.enqueue(REQUEST)
    before = set(await broker.call("KEYS", "*"))
    for key in (None, "order-7"):
        with pytest.raises(QueueFull):
            await turn(tailrace, idempotency_key=key)
    assert {key for key in await broker.call("KEYS", "*") if keys.prefix.encode() in key} <= before
    assert await active(tailrace) is None


@pytest.mark.parametrize("idempotency_key", [None, "order-7"])
async def test_a_job_that_is_interrupted_makes_room_for_the_next(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys, idempotency_key: str | None
) -> None:
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"max_queued": 1}))
    await turn(tailrace)
    second = await turn(tailrace, if_active="interrupt", idempotency_key=idempotency_key)
    assert await queued(broker, keys) == [second.id]


async def test_a_running_job_is_not_interrupted_for_a_job_that_finds_the_queue_full(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys, job: Job, stream: HandwrittenStream
) -> None:
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"max_queued": 1}))
    await stream.append("1-2", STARTED)
    await broker.call("ZREM", keys.queue("default"), job.id)
    await tailrace.enqueue(REQUEST)
    with pytest.raises(QueueFull):
        await turn(tailrace, if_active="interrupt")
    assert await active(tailrace) == job.id


class _LosingBroker(Broker):
    """Its connection breaks after Redis has run a pipeline: the pipeline is sent again."""

    async def pipeline(self, *commands: Command) -> list[Any]:
        await super().pipeline(*commands)
        return await super().pipeline(*commands)


async def test_a_call_that_is_sent_again_is_not_busy_with_itself(
    broker: Broker, keys: Keys, settings: Settings
) -> None:
    new = NewJob.of(REQUEST, settings, tenant="default", queue="default", conversation=CHAT)
    job_id, _ = await enqueue(_LosingBroker(broker.redis), keys, new, if_active="reject", keep_seconds=60)
    assert await members(broker, keys) == await queued(broker, keys) == [job_id]


async def test_a_call_that_is_sent_again_interrupts_nothing_of_its_own(
    broker: Broker, keys: Keys, settings: Settings, job: Job
) -> None:
    new = NewJob.of(REQUEST, settings, tenant="default", queue="default", conversation=CHAT)
    job_id, _ = await enqueue(_LosingBroker(broker.redis), keys, new, if_active="interrupt", keep_seconds=60)
    assert await members(broker, keys) == [job.id, job_id]
    assert await queued(broker, keys) == [job_id]


class _SlowBroker(Broker):
    """A pipeline whose reply is lost, and which is sent again after the job has ended and the next one was enqueued."""

    def __init__(self, redis: Redis, then: Any) -> None:
        super().__init__(redis)
        self._then = then

    async def pipeline(self, *commands: Command) -> list[Any]:
        if self._then is not None:
            then, self._then = self._then, None
            await super().pipeline(*commands)
            await then()
        return await super().pipeline(*commands)


async def test_a_call_that_is_sent_again_after_its_job_has_ended_returns_it(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings
) -> None:
    later: list[Job] = []

    async def end_and_go_on() -> None:
        (first,) = await members(broker, keys)
        await run(HandwrittenStream(broker, keys, tailrace.job(first)))
        later.append(await turn(tailrace))
        await broker.call("DEL", arq_job(first))

    new = NewJob.of(REQUEST, settings, tenant="default", queue="default", conversation=CHAT)
    slow = _SlowBroker(broker.redis, end_and_go_on)
    job_id, _ = await enqueue(slow, keys, new, if_active="reject", keep_seconds=60)
    assert await members(broker, keys) == [job_id, later[0].id]
    assert (await tailrace.job(job_id).status()).state == "completed"


async def test_an_idempotency_key_attaches_to_the_active_job(tailrace: Tailrace) -> None:
    first = await turn(tailrace, idempotency_key="order-7")
    for if_active in ("reject", "interrupt"):
        assert (await turn(tailrace, idempotency_key="order-7", if_active=if_active)).id == first.id
    assert (await first.status()).state == "queued"
    with pytest.raises(IdempotencyConflict):
        await tailrace.enqueue(OTHER, conversation=CHAT, idempotency_key="order-7")


@pytest.mark.parametrize("conversation", ["chat-43", None])
async def test_an_idempotency_key_stands_for_one_conversation(tailrace: Tailrace, conversation: str | None) -> None:
    first = await turn(tailrace, idempotency_key="order-7")
    with pytest.raises(IdempotencyConflict):
        await tailrace.enqueue(REQUEST, conversation=conversation, idempotency_key="order-7")
    alone = await tailrace.enqueue(REQUEST, idempotency_key="order-8")
    with pytest.raises(IdempotencyConflict):
        await turn(tailrace, idempotency_key="order-8")
    assert (await first.status()).conversation == CHAT
    assert (await alone.status()).conversation is None


async def test_an_idempotency_key_attaches_to_a_job_that_ended_before_the_active_one(tailrace: Tailrace) -> None:
    first = await turn(tailrace, idempotency_key="order-7")
    await first.cancel()
    second = await turn(tailrace)
    assert (await turn(tailrace, idempotency_key="order-7")).id == first.id
    assert await active(tailrace) == second.id


async def test_a_key_whose_job_was_rejected_may_be_used_again(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys
) -> None:
    before = set(await broker.call("KEYS", "*"))
    with pytest.raises(ConversationBusy) as caught:
        await turn(tailrace, idempotency_key="order-7")
    assert caught.value.job_id == job.id
    assert {key for key in await broker.call("KEYS", "*") if keys.prefix.encode() in key} <= before
    await job.cancel()
    second = await tailrace.enqueue(OTHER, conversation=CHAT, idempotency_key="order-7")
    assert await active(tailrace) == second.id


async def test_many_calls_with_one_key_start_one_job_or_none(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys, job: Job
) -> None:
    clients = [Tailrace(redis, settings=settings) for _ in range(20)]

    async def end() -> None:
        await run(HandwrittenStream(broker, keys, job))

    done = await asyncio.gather(
        *(turn(client, idempotency_key="order-7") for client in clients[:10]),
        end(),
        *(turn(client, idempotency_key="order-7") for client in clients[10:]),
        return_exceptions=True,
    )
    won = {each.id for each in done if isinstance(each, Job)}
    assert {each.job_id for each in done if isinstance(each, ConversationBusy)} <= {job.id}
    assert len(won) <= 1
    again = await turn(tailrace := clients[0], idempotency_key="order-7")
    assert won <= {again.id}
    assert (await again.status()).state == "queued"
    assert await active(tailrace) == again.id


class _PausedBroker(Broker):
    """Does something else just before it runs a script."""

    def __init__(self, redis: Redis, before: Script, then: Callable[[], Awaitable[object]]) -> None:
        super().__init__(redis)
        self._before = before
        self._then: Callable[[], Awaitable[object]] | None = then

    async def call(self, *command: Argument) -> Any:
        if self._then is not None and command[:2] == ("EVAL", self._before.source):
            then, self._then = self._then, None
            await then()
        return await super().call(*command)


async def enqueue_paused(
    broker: Broker, keys: Keys, settings: Settings, before: Script, then: Callable[[], Awaitable[object]]
) -> str:
    new = NewJob.of(REQUEST, settings, tenant="default", queue="default", conversation=CHAT)
    paused = _PausedBroker(broker.redis, before, then)
    enqueued = await enqueue(paused, keys, new, if_active="reject", keep_seconds=60, idempotency_key="order-7")
    return enqueued.job_id


async def test_a_call_that_is_about_to_be_refused_returns_the_job_that_another_enqueued_under_its_key(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings, job: Job
) -> None:
    others: list[Job] = []

    async def win() -> None:
        await job.cancel()
        others.append(await turn(tailrace, idempotency_key="order-7"))

    job_id = await enqueue_paused(broker, keys, settings, Script.RETRACT, win)
    assert [job_id] == [other.id for other in others] == await queued(broker, keys)
    assert (await others[0].status()).state == "queued"


async def test_a_key_that_a_refused_call_took_back_gets_another_job(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings, job: Job
) -> None:
    halves: list[str] = []

    async def refuse() -> None:
        halves.append((await broker.call("GET", keys.idempotency("default", "order-7"))).decode())
        with pytest.raises(ConversationBusy):
            await turn(tailrace, idempotency_key="order-7")
        await job.cancel()

    job_id = await enqueue_paused(broker, keys, settings, Script.ENQUEUE, refuse)
    assert [job_id] == await queued(broker, keys)
    assert job_id not in halves
    assert (await tailrace.job(job_id).status()).state == "queued"
    assert await broker.call("EXISTS", *keys.of_job(halves[0])) == 0


async def test_a_call_that_is_sent_again_does_not_put_a_running_job_into_its_queue(
    broker: Broker, keys: Keys, settings: Settings, job: Job
) -> None:
    new = NewJob.of(REQUEST, settings, tenant="default", queue="default", conversation=CHAT)
    await broker.pipeline(
        ("SET", arq_in_progress(job.id), "host:1:token"), ("DEL", arq_job(job.id)), ("DEL", keys.queue("default"))
    )
    assert await broker.call(*enqueue_command(keys, {job.id: new}, limit=0)) == [b"queued"]
    assert await queued(broker, keys) == []


@pytest.mark.parametrize("steps", ["key", "key and job"])
async def test_a_producer_that_died_half_way_is_completed_and_blocks_nobody(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings, steps: str
) -> None:
    half_id, key = new_job_id(), keys.idempotency("default", "order-7")
    await broker.call("SET", key, half_id, "PX", 60_000)
    if steps == "key and job":
        half = NewJob.of(REQUEST, settings, tenant="default", queue="default", conversation=CHAT)
        await broker.call(*create_command(keys, half_id, half, "idempotency", key))
    assert await active(tailrace) is None
    other = await turn(tailrace)
    await other.cancel()
    assert (await turn(tailrace, idempotency_key="order-7")).id == half_id
    assert await active(tailrace) == half_id


async def test_a_producer_that_died_after_creating_the_job_blocks_nobody(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings
) -> None:
    half = NewJob.of(REQUEST, settings, tenant="default", queue="default", conversation=CHAT)
    await broker.call(*create_command(keys, new_job_id(), half))
    assert await active(tailrace) is None
    await turn(tailrace)


async def test_a_canceller_that_died_half_way_blocks_nobody(
    tailrace: Tailrace, job: Job, stream: HandwrittenStream
) -> None:
    """The ending is in the stream, and the job still waits in its queue."""
    await stream.append("1000-2", Cancelled(at=1))
    second = await turn(tailrace)
    assert await active(tailrace) == second.id


async def test_a_clock_that_is_set_back_changes_no_order(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys
) -> None:
    await broker.call("ZADD", keys.conversation("default", CHAT), 10**13, job.id)
    second = await turn(tailrace, if_active="interrupt")
    assert (await members(broker, keys))[-1] == second.id
    assert await active(tailrace) == second.id


async def test_a_regenerated_job_belongs_to_the_conversation(tailrace: Tailrace, job: Job) -> None:
    with pytest.raises(ConversationBusy) as caught:
        await job.regenerate()
    assert caught.value.job_id == job.id
    assert (await job.status()).regenerated_as == ()
    again = await job.regenerate(if_active="interrupt", temperature=1.0)
    status = await again.status()
    assert (status.conversation, status.regenerated_from) == (CHAT, job.id)
    assert await active(tailrace) == again.id


async def test_the_conversation_expires_with_its_jobs(
    tailrace: Tailrace, job: Job, broker: Broker, keys: Keys, settings: Settings
) -> None:
    async def left_ms() -> int:
        return int(await broker.call("PTTL", keys.conversation("default", CHAT)))

    assert abs(await left_ms() - await broker.call("PTTL", keys.record(job.id))) < 1_000
    await job.cancel()
    assert 0 < await left_ms() <= settings.keep_seconds * 1_000
    # A later job extends it, and the ending of an earlier one does not shorten it.
    second = await turn(tailrace)
    assert abs(await left_ms() - await broker.call("PTTL", keys.record(second.id))) < 1_000
    await HandwrittenStream(broker, keys, second).append("1-2", STARTED)
    third = await turn(tailrace, if_active="interrupt")
    await close(broker, keys, JobEnding(job_id=second.id, tenant="default", ending="cancelled"), keep_seconds=1)
    assert abs(await left_ms() - await broker.call("PTTL", keys.record(third.id))) < 1_000


async def test_a_conversation_tells_its_jobs_newest_first(tailrace: Tailrace, job: Job) -> None:
    await job.cancel()
    second = await turn(tailrace)
    conversation = tailrace.conversation(CHAT)
    assert [(each.job_id, each.state) for each in await conversation.recent()] == [
        (second.id, "queued"),
        (job.id, "cancelled"),
    ]
    assert [each.job_id for each in await conversation.recent(limit=1)] == [second.id]
    assert await conversation.stop("enough") == CancelOutcome.CANCELLED
    assert await conversation.stop() is None
    await job.delete()
    assert [each.job_id for each in await conversation.recent()] == [second.id]
    assert await tailrace.conversation("chat-43").recent() == []
    assert repr(conversation) == "Conversation('chat-42', tenant='default')"


@pytest.mark.parametrize("conversation", ["", "x" * 257, "\ud800"])
async def test_an_id_that_is_none_is_refused(tailrace: Tailrace, conversation: str) -> None:
    with pytest.raises(InvalidRequest, match="conversation"):
        await tailrace.enqueue(REQUEST, conversation=conversation)
    with pytest.raises(InvalidRequest, match="conversation"):
        tailrace.conversation(conversation)


async def test_what_is_to_be_done_has_to_be_known(tailrace: Tailrace, job: Job) -> None:
    with pytest.raises(InvalidRequest, match="if_active: 'queue' is not known"):
        await turn(tailrace, if_active="queue")
    with pytest.raises(InvalidRequest, match="if_active"):
        await job.regenerate(if_active="queue")  # type: ignore[arg-type]


async def test_any_text_may_name_a_conversation(tailrace: Tailrace) -> None:
    name = "Grüße: {x}\n*🌊"
    job = await tailrace.enqueue(REQUEST, conversation=name)
    assert (await job.status()).conversation == name
    found = await tailrace.conversation(name).active()
    assert found is not None
    assert found.id == job.id


async def test_an_enqueue_is_one_round_trip_in_a_free_conversation_too(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    real_pipeline, real_call = Broker.pipeline, Broker.call

    async def pipeline(self: Broker, *commands: Command) -> list[Any]:
        sent.append(len(commands))
        return await real_pipeline(self, *commands)

    async def call(self: Broker, *command: Any) -> Any:
        sent.append(1)
        return await real_call(self, *command)

    monkeypatch.setattr(Broker, "pipeline", pipeline)
    monkeypatch.setattr(Broker, "call", call)
    tailrace = Tailrace(redis, settings=settings)
    await tailrace.enqueue(REQUEST, labels={"user": "ada"})
    await turn(tailrace)
    assert sent == [2, 2]
