"""Reading a stream, on the real server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tailrace import Event, GenerationRequest, InvalidCursor, InvalidJobId, Job, JobNotFound, Settings, Tailrace
from tailrace.broker import Broker, open_redis
from tailrace.events import Completed, Delta, Reasoning, Started, encode
from tailrace.keys import Keys
from tests.proxy import Proxy

REQUEST = GenerationRequest.model_validate(
    {"provider": "openai", "model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}
)
STARTED = Started(at=1, attempt=1, provider="openai", model="gpt-5", worker="w")
ENDING = Completed(at=2, finish_reason="stop")


class Stream:
    """Writes a job's stream by hand."""

    def __init__(self, broker: Broker, keys: Keys, job: Job) -> None:
        self._broker = broker
        self.key = keys.events(job.id)

    async def append(self, entry_id: str, event: Event) -> None:
        await self._broker.call("XADD", self.key, entry_id, *encode(event))

    async def call(self, *command: str | int) -> object:
        return await self._broker.call(*command)


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    return await tailrace.enqueue(REQUEST)


@pytest.fixture
async def stream(settings: Settings, job: Job) -> AsyncIterator[Stream]:
    broker = Broker(open_redis(settings.redis_url))
    yield Stream(broker, Keys(settings.prefix), job)
    await broker.aclose()


async def collect(job: Job, after: str = "0-0") -> list[str]:
    async with asyncio.timeout(10):
        return [f"{event.id} {event.type}" async for event in job.tail(after=after)]


async def test_a_tail_waits_for_what_is_not_there_yet_and_stops_at_the_ending(job: Job, stream: Stream) -> None:
    seen: list[str] = []
    async with asyncio.timeout(10):
        async for event in job.tail():
            seen.append(event.type)
            if event.type == "queued":
                await stream.append("1-2", STARTED)
            if event.type == "started":
                await stream.append("1-3", Delta(text="Hello"))
            if event.type == "delta":
                await stream.append("1-4", ENDING)
    assert seen == ["queued", "started", "delta", "completed"]


async def test_a_tail_goes_on_from_a_cursor(job: Job, stream: Stream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append("1-3", Delta(text="Hello"))
    await stream.append("1-4", ENDING)
    assert await collect(job, "1-2") == ["1-3 delta", "1-4 completed"]
    assert await collect(job, "1-4") == []


async def test_a_long_past_is_read_to_its_end(job: Job, stream: Stream) -> None:
    await stream.append("1-2", STARTED)
    for seq in range(3, 2_503):
        await stream.append(f"1-{seq}", Delta(text="x"))
    await stream.append("1-2503", ENDING)
    assert len(await collect(job)) == 2_503


async def test_a_job_that_never_was_is_not_found_at_once(tailrace: Tailrace) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(JobNotFound, match="expired, was deleted, or was never enqueued"):
            await collect(tailrace.job("x" * 22))


async def test_a_stream_that_expires_under_a_waiting_tail_is_not_found(job: Job, stream: Stream) -> None:
    with pytest.raises(JobNotFound):  # noqa: PT012
        async with asyncio.timeout(5):
            async for event in job.tail():
                if event.type == "queued":
                    await stream.call("PEXPIRE", stream.key, 20)


@pytest.mark.parametrize("cursor", ["", "1", "1-", "-1", "1-x", "\u0663-\u0661", "1-2-3", "9" * 40 + "-1"])
async def test_what_is_no_cursor_is_refused(job: Job, cursor: str) -> None:
    with pytest.raises(InvalidCursor, match="ATTEMPT-SEQ"):
        job.tail(after=cursor)


async def test_a_cursor_ahead_of_the_stream_is_refused(job: Job) -> None:
    with pytest.raises(InvalidCursor, match="ahead"):
        await collect(job, "7-7")


@pytest.mark.parametrize("job_id", ["", "short", "a" * 65, "a" * 15 + "}", "a" * 20 + "\n", "ä" * 20])
async def test_what_is_no_id_is_refused_before_it_reaches_redis(tailrace: Tailrace, job_id: str) -> None:
    with pytest.raises(InvalidJobId):
        tailrace.job(job_id)


async def test_rubbish_in_the_stream_is_skipped(job: Job, stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    await stream.call("XADD", stream.key, "1-2", "type", "started", "at", "soon")
    await stream.call("XADD", stream.key, "1-3", "type", "of-a-later-version", "x", "y")
    await stream.call("XADD", stream.key, "1-4", "colour", "blue")
    await stream.call("XADD", stream.key, "1-5", "type", "delta", "text", "Hello", "mood", "fine")
    await stream.append("1-6", ENDING)
    assert await collect(job) == ["0-1 queued", "1-5 delta", "1-6 completed"]
    assert "1-2" in caplog.text


async def test_a_tail_survives_a_cut_connection(job: Job, stream: Stream, settings: Settings) -> None:
    async with Proxy(settings.redis_url) as proxy, Tailrace.connect(proxy.url, prefix=settings.prefix) as tailrace:
        seen: list[str] = []
        async with asyncio.timeout(10):
            async for event in tailrace.job(job.id).tail():
                seen.append(str(event.id))
                await proxy.cut()
                if event.type == "queued":
                    await stream.append("1-2", STARTED)
                    await stream.append("1-3", Reasoning(text="Hm."))
                if event.type == "reasoning":
                    await stream.append("1-4", ENDING)
    assert seen == ["0-1", "1-2", "1-3", "1-4"]


async def test_many_tails_see_the_same(job: Job, stream: Stream) -> None:
    tails = [asyncio.create_task(collect(job)) for _ in range(20)]
    await stream.append("1-2", STARTED)
    await stream.append("1-3", ENDING)
    assert {tuple(seen) for seen in await asyncio.gather(*tails)} == {("0-1 queued", "1-2 started", "1-3 completed")}
