"""The rate of requests, counted in Redis for all gateways."""

import asyncio

import pytest

from tailrace import BrokerUnavailable, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker

pytest.importorskip("limits")


async def test_a_key_has_so_many_requests_a_second_in_all_gateways_together(
    settings: Settings, broker: Broker, keys: Keys
) -> None:
    async with Tailrace.connect(**settings.model_dump()) as first, Tailrace.connect(**settings.model_dump()) as second:
        rates = [each.access.request_rate for each in (first, second)]
        taken = await asyncio.gather(*(rate.take("k", 1_000) for rate in rates for _ in range(20)))
        assert all(taken)
        taken = await asyncio.gather(*(rate.take("l", 7) for rate in rates for _ in range(20)))
        # All within one second, unless the machine is very slow.
        assert 7 <= sum(taken) <= 14
        assert await rates[0].take("m", 1)
        found = await broker.call("KEYS", f"{keys.request_rates}:*")
        assert len(found) >= 3
        for key in found:
            assert 0 < await broker.call("PTTL", key) <= 2_000


async def test_the_rates_use_the_connections_of_the_client(settings: Settings, broker: Broker) -> None:
    async with Tailrace.connect(**settings.model_dump()) as tailrace:
        before = len((await broker.call("CLIENT", "LIST")).splitlines())
        for _ in range(10):
            await tailrace.access.request_rate.take("k", 100)
        assert len((await broker.call("CLIENT", "LIST")).splitlines()) <= before


async def test_without_redis_a_request_is_told_so(own_broker: EmbeddedBroker) -> None:
    async with Tailrace.connect(own_broker.url) as tailrace:
        own_broker.kill()
        with pytest.raises(BrokerUnavailable):
            await tailrace.access.request_rate.take("k", 1)
