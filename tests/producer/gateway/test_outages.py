"""The gateway while Redis is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tailrace import Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.gateway import create_app
from tailrace.gateway.lasting_tail import LastingTail
from tailrace.gateway.streaming import BEGINNING
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.gateways import NEW_JOB, HandWorker, ServedGateway, data_of, gateway_settings, served


@pytest.fixture
def broker_url(own_broker: EmbeddedBroker) -> str:
    """The `settings` of these tests point at a server of their own."""
    return own_broker.url


@pytest.fixture
def settings(broker_url: str) -> Settings:
    """Tails give up soon, and so have to be opened again."""
    return Settings.read(redis_url=broker_url, prefix="test", reconnect_seconds=0.2)


@pytest.fixture
async def gateway(tailrace: Tailrace, settings: Settings) -> AsyncIterator[ServedGateway]:
    async with served(create_app(tailrace, gateway_settings(settings))) as gateway:
        yield gateway


async def test_while_redis_is_away_requests_are_told_when_to_come_back(
    gateway: ServedGateway, own_broker: EmbeddedBroker
) -> None:
    created = await gateway.enqueue()
    own_broker.kill()
    for response in (
        await gateway.client.post("/v1/jobs", json=NEW_JOB),
        await gateway.client.get(created["events_url"]),
        await gateway.client.get("/v1/chat/c/stream"),
        await gateway.client.get("/readyz"),
    ):
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "broker_unavailable"
        assert int(response.headers["retry-after"]) > 0
    assert (await gateway.client.get("/healthz")).status_code == 200
    await asyncio.to_thread(own_broker.start)
    assert (await gateway.client.get("/readyz")).status_code == 200


async def test_a_running_stream_waits_and_goes_on(
    gateway: ServedGateway, own_broker: EmbeddedBroker, keys: Keys, settings: Settings
) -> None:
    broker = Broker(open_redis(settings.redis_url))
    await broker.call("CONFIG", "SET", "appendfsync", "always")
    created = await gateway.enqueue()
    worker = HandWorker(broker, keys, created["id"])
    await worker.start()
    async with asyncio.timeout(40), gateway.stream(created["events_url"]) as events:
        assert [(await anext(events)).event for _ in range(2)] == ["queued", "started"]
        own_broker.kill()
        # For longer than a tail waits.
        for _ in range(2):
            assert (await gateway.client.get("/readyz")).status_code == 503
            await asyncio.sleep(settings.reconnect_seconds)
        await asyncio.to_thread(own_broker.start)
        await worker.say("a")
        await worker.complete()
        assert data_of(await anext(events))["text"] == "a"
        assert [event.event async for event in events] == ["completed"]
    await broker.aclose()


async def test_a_wait_that_is_cancelled_while_redis_is_away_can_be_repeated(
    gateway: ServedGateway, own_broker: EmbeddedBroker, tailrace: Tailrace
) -> None:
    created = await gateway.enqueue()
    tail = await LastingTail.open(tailrace.job(created["id"]), BEGINNING)
    assert [event.type for event in await tail.take()] == ["queued"]
    own_broker.kill()
    # Longer than a tail waits for Redis, and several times within the pause before the next one.
    for _ in range(10):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                assert await tail.take()
    await asyncio.to_thread(own_broker.start)
    await tail.aclose()
