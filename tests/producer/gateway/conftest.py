"""A gateway on a real server, and a worker by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeAlias

import pytest

from tailrace import KeyLimits, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys
from tests.support.gateways import HandWorker, ServedGateway, gateway_settings, served

pytest.importorskip("fastapi")

from tailrace.gateway import create_app

KeyOf: TypeAlias = Callable[..., Awaitable[Mapping[str, str]]]
Worker: TypeAlias = Callable[[str], HandWorker]


@pytest.fixture
async def gateway(tailrace: Tailrace, settings: Settings) -> AsyncIterator[ServedGateway]:
    """A gateway with the settings of the test."""
    async with served(create_app(tailrace, gateway_settings(settings))) as gateway:
        yield gateway


@pytest.fixture
def working(broker: Broker, keys: Keys) -> Worker:
    """Makes the worker of a job."""
    return lambda job_id: HandWorker(broker, keys, job_id)


@pytest.fixture
def key_of(tailrace: Tailrace) -> KeyOf:
    """Creates an API key; returns the headers of requests with it."""

    async def create(tenant: str, **limits: int) -> Mapping[str, str]:
        _, token = await tailrace.access.api_keys.create(tenant=tenant, limits=KeyLimits(**limits))
        return {"Authorization": f"Bearer {token}"}

    return create
