"""The blocking client, on the real server: the same jobs, the same errors."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tailrace import (
    BrokerUnavailable,
    CancelOutcome,
    ConversationBusy,
    GenerationRequest,
    InvalidCursor,
    InvalidJobId,
    InvalidRequest,
    InvalidSettings,
    JobNotFound,
    JobState,
    Settings,
    sync,
)
from tailrace.events import Delta
from tests.support.blocking_stream import BlockingStream
from tests.support.handwritten import ENDING, REQUEST, STARTED


def test_a_job_is_enqueued_read_and_regenerated(client: sync.Tailrace, job: sync.Job, stream: BlockingStream) -> None:
    assert (job.status().state, job.request()) == (JobState.QUEUED, REQUEST)
    stream.append(("1-2", STARTED), ("1-3", Delta(text="Hello")), ("1-4", ENDING))
    assert (job.answer().text, client.job(job.id).status().state) == ("Hello", JobState.COMPLETED)
    again = job.regenerate(temperature=0.5)
    changed = again.request()
    assert isinstance(changed, GenerationRequest)
    assert changed.temperature == 0.5
    assert job.status().regenerated_as == (again.id,)
    assert repr(again) == f"Job({again.id!r})"


def test_the_handle_that_cancelled_a_job_knows_how_long_that_took(job: sync.Job) -> None:
    assert job.cancel("enough") is CancelOutcome.CANCELLED
    timing = job.status().timing
    assert timing is not None
    assert timing.cancel_ms is not None
    job.delete()
    with pytest.raises(JobNotFound):
        job.status()


def test_many_jobs_are_enqueued_in_one_call_and_counted(client: sync.Tailrace) -> None:
    jobs = client.enqueue_many([REQUEST] * 3, queue="nightly")
    assert len({job.id for job in jobs}) == 3
    (queue,) = client.fleet().queues
    assert (queue.name, queue.due) == ("nightly", 3)


def test_a_handle_says_if_its_job_is_new(client: sync.Tailrace) -> None:
    first, again = (client.enqueue(REQUEST, idempotency_key="k") for _ in range(2))
    assert (first.is_new, again.is_new) == (True, False)
    assert all(job.is_new for job in client.enqueue_many([REQUEST] * 2))
    assert first.regenerate().is_new
    assert not client.job(first.id).is_new


def test_a_conversation_has_one_active_job_and_is_stopped_by_its_id(client: sync.Tailrace) -> None:
    first = client.enqueue(REQUEST, conversation="chat-42", labels={"page": "home"})
    chat = client.conversation("chat-42")
    active = chat.active()
    assert active is not None
    assert active.id == first.id
    with pytest.raises(ConversationBusy):
        client.enqueue(REQUEST, conversation="chat-42")
    second = client.enqueue(REQUEST, conversation="chat-42", if_active="interrupt")
    assert [status.job_id for status in chat.recent()] == [second.id, first.id]
    assert chat.stop("enough") is CancelOutcome.CANCELLED
    assert (chat.active(), chat.stop()) == (None, None)
    assert [status.labels for status in client.jobs(conversation="chat-42", limit=2)] == [{}, {"page": "home"}]
    assert repr(chat) == "Conversation('chat-42', tenant='default')"
    with pytest.raises(InvalidRequest, match="conversation"):
        client.conversation("")


def test_the_errors_are_those_of_the_asynchronous_client(client: sync.Tailrace, job: sync.Job) -> None:
    with pytest.raises(InvalidJobId):
        client.job("short")
    with pytest.raises(InvalidRequest, match="tenant"):
        client.enqueue(REQUEST, tenant="a:b")
    with pytest.raises(InvalidRequest, match="max_concurrent"):
        client.parallel([REQUEST], max_concurrent=0)
    with pytest.raises(InvalidCursor):
        job.tail(after="first")
    with pytest.raises(JobNotFound):
        client.job("x" * 22).open_tail()
    with pytest.raises(JobNotFound):
        list(client.job("x" * 22).tail())


def test_wrong_settings_are_refused_at_once_and_start_no_thread() -> None:
    with pytest.raises(InvalidSettings):
        sync.Tailrace.connect("http://localhost")
    with pytest.raises(InvalidSettings):
        sync.Tailrace.connect(keep_seconds=-1)
    sync.Tailrace.connect()
    assert "tailrace.sync" not in {thread.name for thread in threading.enumerate()}


def test_a_redis_that_is_not_there_is_told_at_the_beginning() -> None:
    with pytest.raises(BrokerUnavailable), sync.Tailrace.connect("redis://127.0.0.1:1/0"):
        pass
    assert "tailrace.sync" not in {thread.name for thread in threading.enumerate()}


def test_many_threads_share_a_client(client: sync.Tailrace, settings: Settings) -> None:
    def ask(number: int) -> str:
        job = client.enqueue(REQUEST)
        stream = BlockingStream(settings, job.id)
        try:
            with job.tail() as tail:
                assert next(tail).type == "queued"
                stream.append(("1-2", STARTED), ("1-3", Delta(text=str(number))), ("1-4", ENDING))
                return "".join(event.text for event in tail if isinstance(event, Delta))
        finally:
            stream.close()

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(ask, range(60))) == [str(number) for number in range(60)]


def test_a_client_connects_again_after_it_was_closed(
    client: sync.Tailrace, job: sync.Job, connections: Callable[[], int]
) -> None:
    assert connections() >= 1
    client.close()
    assert connections() == 0
    assert job.status().state is JobState.QUEUED
    client.close()
    client.close()


async def test_in_a_running_loop_a_call_blocks_and_works(settings: Settings) -> None:
    ran = asyncio.create_task(asyncio.sleep(0, "ran"))
    with sync.Tailrace.connect(**settings.model_dump()) as client:
        job = client.enqueue(REQUEST)
        job.cancel()
        assert [event.type for event in job.tail()] == ["queued", "cancelled"]
        assert not ran.done()
    assert await ran == "ran"


def test_a_redis_client_that_is_given_serves_one_loop_and_is_closed_with_it() -> None:
    fakeredis = pytest.importorskip("fakeredis")
    client = sync.Tailrace(fakeredis.FakeAsyncRedis(protocol=2), settings=Settings())
    job = client.enqueue(REQUEST)
    job.cancel()
    assert [event.type for event in job.tail()] == ["queued", "cancelled"]
    client.close()
    with pytest.raises(RuntimeError, match="Make both anew"):
        job.status()


def test_a_redis_client_that_cannot_be_used_is_refused_at_once() -> None:
    fakeredis = pytest.importorskip("fakeredis")
    with pytest.raises(InvalidSettings):
        sync.Tailrace(fakeredis.FakeAsyncRedis(decode_responses=True))
