from collections.abc import AsyncIterator

import pytest

from tailrace_worker.simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator
