"""A worker whose way to Redis leads through a proxy."""

from collections.abc import AsyncIterator

import pytest

from tailrace import Settings
from tailrace_worker.generation import Generations
from tests.support.proxy import Proxy
from tests.worker.conftest import OpenGenerations


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    async with Proxy(settings.redis_url) as proxy:
        yield proxy


@pytest.fixture
async def proxied(proxy: Proxy, open_generations: OpenGenerations) -> AsyncIterator[Generations]:
    async with open_generations(redis_url=proxy.url) as generations:
        yield generations
