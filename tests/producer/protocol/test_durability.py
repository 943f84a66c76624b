"""A durable job is on a disk or on a replica when its enqueue returns."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tailrace import BrokerRefused, JobState, NotDurable, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.durability import make_durable
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.handwritten import REQUEST
from tests.support.proxy import Proxy
from tests.support.suspended import suspended

pytestmark = pytest.mark.redis


@asynccontextmanager
async def asking(server: EmbeddedBroker) -> AsyncGenerator[Broker]:
    broker = Broker(open_redis(server.url))
    try:
        yield broker
    finally:
        await broker.aclose()


async def followed(broker: Broker) -> None:
    """Waits until a replica follows the server."""

    async def is_followed() -> bool:
        replica = (await broker.call("INFO", "replication")).get("slave0", {})
        return bool(replica.get("state") == "online")

    await eventually(is_followed)


@pytest.mark.parametrize("key", [None, "question-7"])
async def test_a_durable_job_has_gone_to_the_disk(key: str | None) -> None:
    with EmbeddedBroker(append_only=True) as server:
        async with Tailrace.connect(server.url) as tailrace, asking(server) as broker:
            job = await tailrace.enqueue(REQUEST, durable=True, idempotency_key=key)
            server.kill()
            server.start()
            assert await broker.call("EXISTS", f"tailrace:{{{job.id}}}:events") == 1
            (again,) = await tailrace.enqueue_many([REQUEST], durable=True)
            assert (await again.status()).state is JobState.QUEUED


async def test_without_an_append_only_file_a_replica_has_it() -> None:
    with (
        EmbeddedBroker(config={"repl-diskless-sync-delay": "0"}) as server,
        EmbeddedBroker(config={"replicaof": f"127.0.0.1 {server.port}"}) as replica,
    ):
        async with (
            Tailrace.connect(server.url, durable=True) as tailrace,
            asking(server) as broker,
            asking(replica) as copy,
        ):
            await followed(broker)
            job = await tailrace.enqueue(REQUEST)
            assert await copy.call("EXISTS", f"tailrace:{{{job.id}}}:events") == 1


async def test_a_replica_that_does_not_answer_makes_nothing_durable() -> None:
    with (
        EmbeddedBroker(config={"repl-diskless-sync-delay": "0"}) as server,
        EmbeddedBroker(config={"replicaof": f"127.0.0.1 {server.port}"}) as replica,
    ):
        async with Tailrace.connect(server.url) as tailrace, asking(server) as broker:
            await followed(broker)
            async with suspended(replica.url):
                job = await tailrace.enqueue(REQUEST)
                with pytest.raises(NotDurable, match=r"within 0\.2 s"):
                    await make_durable(broker, Keys(), "default", [job.id], wait_seconds=0.2)


@pytest.mark.parametrize("key", [None, "question-7"])
async def test_a_job_that_a_failover_loses_while_it_is_made_durable_is_not_called_durable(key: str | None) -> None:
    with EmbeddedBroker(append_only=True) as first, EmbeddedBroker(append_only=True) as second:
        async with Proxy(first.url) as proxy, Tailrace.connect(proxy.url) as tailrace:
            proxy.trap = b"WAITAOF"
            enqueuing = asyncio.create_task(tailrace.enqueue(REQUEST, durable=True, idempotency_key=key))
            await proxy.requested(b"WAITAOF")
            proxy.trap = None
            proxy.retarget(second.url)
            await proxy.cut()
            with pytest.raises(NotDurable, match="restart or a failover"):
                await enqueuing


async def test_where_nothing_survives_a_crash_a_durable_job_is_refused() -> None:
    with EmbeddedBroker() as server:
        async with Tailrace.connect(server.url) as tailrace:
            await tailrace.enqueue(REQUEST)
            with pytest.raises(BrokerRefused, match="no append-only file and no replica"):
                await tailrace.enqueue(REQUEST, durable=True)
