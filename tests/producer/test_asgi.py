"""A job as the response of a web framework, on the real server, without a framework."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace import Job, JobState, Settings, Tailrace
from tailrace.asgi import EventStream, stream
from tailrace.broker.client import Broker
from tailrace.encoders import KEEP_ALIVE, AiSdkEncoder, Encoder, SseEncoder, retry_line
from tailrace.events import Delta, Event, Failed, Started
from tailrace.protocol.keys import Keys
from tests.support.eventually import eventually
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream
from tests.support.ui_message import ui_message

RETRY = retry_line(1000)
SSE_HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    return await tailrace.enqueue(REQUEST)


@pytest.fixture
def written(broker: Broker, keys: Keys, job: Job) -> HandwrittenStream:
    return HandwrittenStream(broker, keys, job)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statuses are held back for a moment only, and a silence is short."""
    monkeypatch.setattr("tailrace.asgi.STATUS_SECONDS", 0.05)
    monkeypatch.setattr("tailrace.asgi.KEEP_ALIVE_SECONDS", 0.02)


def request(last_event_id: str = "", query: str = "") -> Any:
    headers = [(b"host", b"a"), *([(b"last-event-id", last_event_id.encode())] if last_event_id else [])]
    return SimpleNamespace(scope={"type": "http", "headers": headers, "query_string": query.encode()})


@dataclass(kw_only=True, eq=False)
class Client:
    """The client of an ASGI application; it takes what is sent at once, unless `may_take` is cleared."""

    sent: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    left: asyncio.Event = field(default_factory=asyncio.Event)
    may_take: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_take.set()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        await self.may_take.wait()
        self.sent.append(message)

    async def call(self, response: EventStream) -> None:
        async with asyncio.timeout(20):
            await response({"type": "http"}, self.receive, self.send)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


async def events_of(job: Job) -> list[Event]:
    return [event async for event in job.tail()]


async def said(response: EventStream) -> bytes:
    async with asyncio.timeout(20):
        return b"".join([chunk async for chunk in response])


async def write(written: HandwrittenStream, *deltas: str) -> None:
    await written.append("1-2", STARTED)
    for seq, text in enumerate(deltas, 3):
        await written.append(f"1-{seq}", Delta(text=text))
    await written.append(f"1-{len(deltas) + 3}", ENDING)


async def test_a_finished_job_is_sent_whole_with_the_headers_of_a_stream(job: Job, written: HandwrittenStream) -> None:
    await write(written, "Hello", " you")
    client = Client()
    response = await stream(job, request())
    assert (response.status, response.headers) == (200, {**SSE_HEADERS, "x-tailrace-job": job.id})
    await client.call(response)
    assert client.sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(name.encode(), value.encode()) for name, value in response.headers.items()],
    }
    assert client.sent[-1] == {"type": "http.response.body", "body": b""}
    assert client.body == RETRY + b"".join(map(SseEncoder().encode, await events_of(job)))


@pytest.mark.parametrize("way", ["header", "query", "both"])
async def test_a_resume_after_any_event_gives_exactly_the_rest(job: Job, written: HandwrittenStream, way: str) -> None:
    await write(written, "Hello", " you", "!")
    await written.call("XDEL", written.key, "1-4")
    events = await events_of(job)
    assert "gap" in {event.type for event in events}
    for seen, event in enumerate(events[:-1], 1):
        given = {
            "header": request(str(event.id)),
            "query": request(query=f"x=1&after={event.id}"),
            # A browser reconnects to the same address, and its header is the newer of the two.
            "both": request(str(event.id), query="after=0-1"),
        }[way]
        assert await said(await stream(job, given)) == RETRY + b"".join(map(SseEncoder().encode, events[seen:]))


async def test_a_resume_from_behind_the_ending_is_told_to_stop(job: Job, written: HandwrittenStream) -> None:
    await write(written)
    client = Client()
    await client.call(await stream(job, request("1-3")))
    assert (client.sent[0]["status"], client.body) == (204, b"")
    assert dict(client.sent[0]["headers"]) == {b"x-tailrace-job": job.id.encode()}


@pytest.mark.parametrize("cursor", ["nonsense", "7-7", "1-17 ", "é"])
async def test_a_cursor_that_is_none_of_the_job_is_a_bad_request(
    job: Job, written: HandwrittenStream, cursor: str
) -> None:
    await write(written)
    response = await stream(job, request(cursor))
    assert (response.status, response.headers["content-type"]) == (400, "application/json")
    assert json.loads(await said(response))["error"]["code"] == "invalid_cursor"


@pytest.mark.parametrize("encoder", [SseEncoder, lambda: AiSdkEncoder("x"), lambda: AiSdkEncoder("x", sdk_version=7)])
async def test_a_job_that_is_none_is_not_found(tailrace: Tailrace, encoder: Callable[[], Encoder]) -> None:
    response = await stream(tailrace.job("x" * 22), request(), encoder())
    assert response.status == 404
    assert json.loads(await said(response))["error"]["code"] == "job_not_found"


async def test_a_redis_that_is_away_is_unavailable_before_the_first_byte(settings: Settings) -> None:
    async with asyncio.timeout(20):
        tailrace = Tailrace.connect("redis://127.0.0.1:1/0", prefix=settings.prefix, reconnect_seconds=0.01)
        response = await stream(tailrace.job("x" * 22), request())
        body = await said(response)
        await tailrace.aclose()
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert b"127.0.0.1" not in body


async def test_the_status_is_held_back_until_an_attempt_starts(job: Job, written: HandwrittenStream) -> None:
    opening = asyncio.create_task(stream(job, request()))
    await eventually(lambda: _listens(written))
    assert not opening.done()
    await written.call("DEL", written.key)
    assert (await opening).status == 404

    again = asyncio.create_task(stream(job, request()))
    await written.append("0-1", STARTED)
    assert (await again).status == 200


@pytest.mark.usefixtures("no_patience")
async def test_a_job_that_waits_is_a_stream_that_shows_that_it_lives(job: Job, written: HandwrittenStream) -> None:
    response = await stream(job, request())
    assert response.status == 200
    chunks = aiter(response)
    assert (await anext(chunks)).startswith(RETRY + b"id: 0-1\nevent: queued\n")
    async with asyncio.timeout(20):
        assert [await anext(chunks), await anext(chunks)] == [KEEP_ALIVE, KEEP_ALIVE]
        await written.append("1-2", ENDING)
        rest = b"".join([chunk async for chunk in chunks]).replace(KEEP_ALIVE, b"")
    assert rest.startswith(b"id: 1-2\nevent: completed\n")


async def test_a_client_that_leaves_frees_the_tail_and_leaves_the_job(job: Job, written: HandwrittenStream) -> None:
    await written.append("1-2", STARTED)
    client = Client()
    answering = asyncio.create_task(client.call(await stream(job, request())))
    await eventually(lambda: b"started" in client.body)
    await eventually(lambda: _listens(written))
    client.left.set()
    await answering
    assert client.sent[-1]["more_body"] is True
    await eventually(lambda: _listens(written, count=0))
    assert (await job.status()).state is JobState.RUNNING


async def test_a_slow_client_that_leaves_is_let_go_too(job: Job, written: HandwrittenStream) -> None:
    await write(written, "Hello")
    client = Client()
    client.may_take.clear()
    answering = asyncio.create_task(client.call(await stream(job, request())))
    await asyncio.sleep(0)
    client.left.set()
    await answering
    assert client.sent == []


async def test_a_slow_client_leaves_the_events_in_redis(job: Job, written: HandwrittenStream) -> None:
    await written.append("1-2", STARTED)
    client = Client()
    client.may_take.clear()
    answering = asyncio.create_task(client.call(await stream(job, request())))
    await written.append_deltas(3, 5_000)
    await written.append("1-5001", ENDING)
    assert len(await events_of(job)) == 5_001
    assert client.sent == []
    client.may_take.set()
    await answering
    assert client.body == RETRY + b"".join(map(SseEncoder().encode, await events_of(job)))


@pytest.mark.parametrize("begun", [False, True])
async def test_a_response_that_is_dropped_frees_its_tail(job: Job, written: HandwrittenStream, *, begun: bool) -> None:
    await written.append("1-2", STARTED)
    response = await stream(job, request())
    if begun:
        await anext(aiter(response))
    await eventually(lambda: _listens(written))
    del response
    gc.collect()
    await eventually(lambda: _listens(written, count=0))


async def test_an_error_of_the_server_that_sends_is_its_own(job: Job, written: HandwrittenStream) -> None:
    await write(written)

    async def broken(_message: dict[str, Any]) -> None:
        raise OSError("the socket is gone")

    response = await stream(job, request())
    with pytest.raises(OSError, match="the socket is gone"):
        await response({}, Client().receive, broken)


@pytest.mark.parametrize(("encoder", "told"), [(SseEncoder(), b""), (AiSdkEncoder("x"), b"data: [DONE]\n\n")])
async def test_a_stream_that_goes_away_in_the_middle_ends_the_response_in_the_protocols_way(
    job: Job, written: HandwrittenStream, encoder: Encoder, told: bytes
) -> None:
    await written.append("1-2", STARTED)
    chunks = aiter(await stream(job, request(), encoder))
    first = await anext(chunks)
    await written.call("DEL", written.key)
    async with asyncio.timeout(20):
        rest = b"".join([chunk async for chunk in chunks])
    assert rest.endswith(told)
    assert (b"started" in first, b"cannot be read" in rest) == (not told, bool(told))


async def restart(written: HandwrittenStream) -> None:
    await written.append("1-2", STARTED)
    await written.append("1-3", Delta(text="void"))
    await written.append("2-4", Started(at=2, attempt=2, provider="openai", model="m", worker="w"))
    await written.append("2-5", Delta(text="valid, "))
    await written.append("3-6", Started(at=3, attempt=3, provider="openai", model="m", worker="w", continues=True))
    await written.append("3-7", Delta(text="all of it"))


async def test_in_version_6_a_response_that_begins_after_a_restart_shows_none_of_it(
    job: Job, written: HandwrittenStream
) -> None:
    await restart(written)
    await written.append("3-8", ENDING)
    response = await stream(job, request("1-3"), AiSdkEncoder(job.id))
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    shown = ui_message(await said(response))
    assert (shown.texts("text"), shown.errors, shown.finish_reason) == ("valid, all of it", [], "stop")


async def test_in_version_6_a_restart_in_the_middle_ends_the_response_and_not_the_job(
    job: Job, written: HandwrittenStream
) -> None:
    await written.append("1-2", STARTED)
    await written.append("1-3", Delta(text="void"))
    response = await stream(job, request(), AiSdkEncoder(job.id))
    await written.append("2-4", Started(at=2, attempt=2, provider="openai", model="m", worker="w"))
    shown = ui_message(await said(response))
    assert (shown.texts("text"), len(shown.errors), shown.is_done) == ("void", 1, True)


async def test_in_version_7_every_response_has_the_same_frames(job: Job, written: HandwrittenStream) -> None:
    await restart(written)
    await written.append("3-8", Failed(at=4, code="total_timeout", message="It took too long."))
    streams = {
        await said(await stream(job, given, AiSdkEncoder(job.id, sdk_version=7)))
        for given in (request(), request("2-5"))
    }
    (frames,) = streams
    shown = ui_message(frames)
    assert (shown.texts("text"), shown.errors, shown.resets) == ("valid, all of it", ["It took too long."], 1)


def _listens(written: HandwrittenStream, count: int = 1) -> Awaitable[bool]:
    async def look() -> bool:
        return await written.listeners() == count

    return look()
