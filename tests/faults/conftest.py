"""What all tests of faults have in common."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tailrace_worker.simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A server with the providers' APIs, which answers as the model's name says."""
    async with Simulator() as simulator:
        yield simulator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each of these tests may start processes, to kill them or to suspend them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("process")
