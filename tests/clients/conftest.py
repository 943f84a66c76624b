"""A live gateway with a worker and the simulator, for other people's clients."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tailrace import Settings, Tailrace
from tailrace.gateway import create_app
from tailrace_worker.simulator import Simulator
from tests.support.gateways import ServedGateway, gateway_settings, served
from tests.support.node import PACKAGES, SCRIPTS, needed
from tests.support.processes import worker_process


@pytest.fixture
async def live(settings: Settings, tailrace: Tailrace) -> AsyncIterator[ServedGateway]:
    """The gateway."""
    app = create_app(tailrace, gateway_settings(settings))
    async with Simulator() as simulator, worker_process(settings, simulator), served(app) as gateway:
        yield gateway


@pytest.fixture
def npm_packages() -> None:
    """Node with the packages that `run_node` needs."""
    needed()


async def run_node(script: str, argument: dict[str, Any]) -> dict[str, Any]:
    """Runs a script with one argument; returns the line of JSON that it prints."""
    text = (SCRIPTS / script).read_text(encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "--eval", text, "--", json.dumps(argument)),
        cwd=PACKAGES,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, stderr.decode()
    printed: dict[str, Any] = json.loads(stdout)
    return printed
