"""The reader when Redis, or the way to it, breaks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.credentials import CredentialProvider

from tailrace import BrokerUnavailable, Job, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.broker.liveness import LivenessLimits
from tailrace.broker.wire import Wire
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys
from tailrace.tailing.limits import NotificationLimits, ReaderLimits
from tailrace.tailing.notifications import Notifications
from tailrace.tailing.reader import Reader
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream
from tests.support.proxy import Proxy
from tests.support.suspended import suspended

KEYS = Keys("reader")
SETTINGS = Settings.read(prefix=KEYS.prefix)


@pytest.fixture
async def broker(own_broker: EmbeddedBroker) -> AsyncIterator[Broker]:
    broker = Broker(open_redis(own_broker.url))
    # What was appended outlives a kill.
    await broker.call("CONFIG", "SET", "appendfsync", "always")
    yield broker
    await broker.aclose()


@pytest.fixture
async def tailrace(own_broker: EmbeddedBroker, broker: Broker) -> AsyncIterator[Tailrace]:
    async with Tailrace.connect(own_broker.url, prefix=KEYS.prefix) as tailrace:
        yield tailrace


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    return await tailrace.enqueue(REQUEST)


@pytest.fixture
def stream(broker: Broker, job: Job) -> HandwrittenStream:
    return HandwrittenStream(broker, KEYS, job)


async def hears(stream: HandwrittenStream) -> None:
    async def is_listened_to() -> bool:
        return await stream.listeners() == 1

    await eventually(is_listened_to)


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_a_killed_connection_is_replaced_at_once_and_loses_no_event(
    job: Job, stream: HandwrittenStream, broker: Broker, kind: str
) -> None:
    never = ReaderLimits(first_retry_seconds=3_600, last_retry_seconds=3_600)
    tailed = Job(job.id, broker, Reader(broker, SETTINGS, limits=never), SETTINGS)
    seen: list[str] = []
    async with asyncio.timeout(20):
        async for event in tailed.tail():
            seen.append(str(event.id))
            if event.id.seq < 5:
                await hears(stream)
                await stream.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                await stream.append(f"1-{event.id.seq + 1}", STARTED)
            elif event.id.seq == 5:
                await stream.append("1-6", ENDING)
    assert seen == ["0-1", "1-2", "1-3", "1-4", "1-5", "1-6"]


async def test_a_tail_goes_on_after_its_server_was_killed_and_started_again(
    job: Job, stream: HandwrittenStream, own_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Semaphore(0)
    connect = Wire.connect

    async def spy(wire: Wire) -> None:
        tried.release()
        await connect(wire)

    monkeypatch.setattr(Wire, "connect", spy)
    seen: list[str] = []
    async with asyncio.timeout(30):
        async for event in job.tail():
            seen.append(str(event.id))
            if event.id.seq < 3:
                await hears(stream)
                own_broker.kill()
                # Both connections are tried again and again.
                for _ in range(6):
                    await tried.acquire()
                await asyncio.to_thread(own_broker.start)
                await stream.append(f"1-{event.id.seq + 1}", STARTED)
                await hears(stream)
            elif event.id.seq == 3:
                await stream.append("1-4", ENDING)
    assert seen == ["0-1", "1-2", "1-3", "1-4"]


async def test_a_tail_raises_with_its_cursor_when_its_server_stays_away(
    job: Job, stream: HandwrittenStream, own_broker: EmbeddedBroker
) -> None:
    await stream.append("1-2", STARTED)
    seen: list[str] = []
    async with Tailrace.connect(own_broker.url, prefix=KEYS.prefix, reconnect_seconds=0.5) as impatient:
        with pytest.raises(BrokerUnavailable, match=r"for \d+ s\.") as caught:  # noqa: PT012
            async with asyncio.timeout(20):
                async for event in impatient.job(job.id).tail():
                    seen.append(str(event.id))
                    if event.type == "started":
                        own_broker.kill()
        await asyncio.to_thread(own_broker.start)
        await stream.append("1-3", ENDING)
        assert caught.value.cursor == "1-2"
        seen += [str(event.id) async for event in impatient.job(job.id).tail(after=caught.value.cursor)]
    assert seen == ["0-1", "1-2", "1-3"]


async def test_a_tail_waits_for_a_suspended_server(
    job: Job, stream: HandwrittenStream, own_broker: EmbeddedBroker
) -> None:
    hasty = Broker(open_redis(own_broker.url, liveness=LivenessLimits(reply_timeout_seconds=0.3)))
    tailed = Job(job.id, hasty, Reader(hasty, SETTINGS), SETTINGS)
    async with asyncio.timeout(30), tailed.tail() as tail:
        await anext(tail)
        await hears(stream)
        async with suspended(own_broker.url):
            late = asyncio.ensure_future(anext(tail))
            # Longer than a reply may take: the connections are given up, and new ones are greeted by nobody.
            await asyncio.wait([late], timeout=1.5)
            assert not late.done()
        await stream.append("1-2", ENDING)
        assert (await late).type == "completed"
    await hasty.aclose()


async def test_a_silent_notification_connection_is_found_and_replaced(
    own_broker: EmbeddedBroker, broker: Broker
) -> None:
    heard = asyncio.Queue[bytes]()
    async with Proxy(own_broker.url) as proxy, asyncio.timeout(20):
        redis = open_redis(proxy.url, liveness=LivenessLimits(reply_timeout_seconds=0.5))
        listening = Notifications(redis, heard.put_nowait, NotificationLimits(ping_seconds=0.1))
        running = asyncio.create_task(listening.run())
        listening.subscribe(b"channel")
        assert await heard.get() == b"channel"
        proxy.hold_replies = True
        await broker.call("PUBLISH", "channel", "")
        # Replies pass again, but this connection has lost one: only a new subscription notifies.
        await proxy.requested(b"PING")
        await eventually(lambda: not listening.is_listening)
        proxy.hold_replies = False
        assert await heard.get() == b"channel"
        running.cancel()
        await asyncio.wait([running])
        await redis.aclose()


async def test_a_tail_waits_for_a_server_that_came_back_with_fewer_entries(
    job: Job, stream: HandwrittenStream, broker: Broker
) -> None:
    await stream.append_deltas(2, 5)
    async with asyncio.timeout(20), job.tail() as tail:
        assert [(await anext(tail)).id.seq for _ in range(5)] == [1, 2, 3, 4, 5]
        await hears(stream)
        await broker.transaction(("DEL", stream.key), ("XADD", stream.key, "0-1", *encode(STARTED)))
        waiting = asyncio.ensure_future(anext(tail))
        # A sweep or two: nothing is there behind the cursor, and that is no error.
        await asyncio.wait([waiting], timeout=2.5)
        assert not waiting.done()
        await stream.append_deltas(2, 6)
        assert str((await waiting).id) == "1-6"


async def test_a_client_without_the_right_to_subscribe_still_reads(
    own_broker: EmbeddedBroker, broker: Broker, job: Job, stream: HandwrittenStream
) -> None:
    await broker.call("ACL", "SETUSER", "deaf", "on", "nopass", "allkeys", "resetchannels", "+@all", "-subscribe")
    url = own_broker.url.replace("redis://", "redis://deaf:any@")
    async with open_redis(url) as redis, Tailrace(redis, settings=SETTINGS) as tailrace, asyncio.timeout(10):
        async for event in tailrace.job(job.id).tail():
            if event.type == "queued":
                await stream.append("1-2", ENDING)


class Rotated(CredentialProvider):
    """A password that is changed while clients are connected."""

    password = "old"

    def get_credentials(self) -> tuple[str, str]:
        return "ann", self.password


async def test_a_rotated_password_ends_no_tail(
    own_broker: EmbeddedBroker, broker: Broker, job: Job, stream: HandwrittenStream
) -> None:
    await broker.call("ACL", "SETUSER", "ann", "on", ">old", "allkeys", "allchannels", "+@all")
    credentials = Rotated()
    redis: Any = Redis(port=own_broker.port, credential_provider=credentials, protocol=2)

    async def refused() -> bool:
        return any(b"ann" in entry for entry in await broker.call("ACL", "LOG"))

    async with asyncio.timeout(20), redis, Tailrace(redis, settings=SETTINGS) as tailrace:
        tail = tailrace.job(job.id).tail()
        assert (await anext(tail)).type == "queued"
        await hears(stream)
        waiting = asyncio.ensure_future(anext(tail))
        await broker.call("ACL", "SETUSER", "ann", "resetpass", ">new")
        await broker.call("CLIENT", "KILL", "USER", "ann")
        await eventually(refused)
        # A sweep or two: the connection that reads is refused as well.
        await asyncio.wait([waiting], timeout=2.5)
        assert not waiting.done()
        credentials.password = "new"
        await stream.append("1-2", STARTED)
        assert (await waiting).type == "started"
        await tail.aclose()
