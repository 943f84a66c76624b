"""The log of a verb that runs as a process of its own, and its end."""

import asyncio
import os

import pytest

from tailrace_worker.processes.service import open_service

pytestmark = pytest.mark.process

ENV = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}


def told(error: Exception) -> None:
    raise AssertionError(error)


async def test_a_service_says_when_it_is_ready_and_ends_with_the_block() -> None:
    lines: list[str] = []
    async with open_service("simulate", "--port=0", env=ENV, on_death=told, show=lines.append) as simulator:
        url = await simulator.ready()
        assert lines == [f"simulator on {url}"]
    with pytest.raises(ProcessLookupError):
        os.kill(simulator.pid, 0)


async def test_a_service_that_ends_by_itself_is_told_with_its_last_lines() -> None:
    died: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    async with open_service("simulate", "--port=x", env=ENV, name="it", on_death=died.set_result):
        async with asyncio.timeout(30):
            error = await died
    assert str(error).startswith(
        "it has ended with exit code 2:\n    tailrace simulate: argument --port: 'x' is not a port"
    )
