"""A live gateway with a worker and the simulator, for other people's clients."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tailrace import Settings, Tailrace
from tailrace.gateway import create_app
from tailrace_worker.simulator import Simulator
from tests.support.gateways import ServedGateway, gateway_settings, served
from tests.support.node import PACKAGES, SCRIPTS, needed
from tests.support.processes import WorkerProcess, worker_process
from tests.support.scripts import printed_json


@pytest.fixture
async def live(settings: Settings, tailrace: Tailrace) -> AsyncIterator[ServedGateway]:
    """The gateway."""
    app = create_app(tailrace, gateway_settings(settings))
    async with Simulator() as simulator, worker_process(settings, simulator), served(app) as gateway:
        yield gateway


LEAVE_SECONDS: Final = 0.2
QUICK: Final = {"TAILRACE_LEASE_SECONDS": "1", "TAILRACE_PROVIDER_TRIES": "1"}
"""A lost worker's jobs go on soon, and a provider that fails is called once."""
MODELS: Final = {
    "fast": {"provider": "openai", "model": "demo?text=Because+of+water&interval_ms=0"},
    "claude-*": {"provider": "anthropic", "model": "demo?text=Because+of+water&interval_ms=0"},
    "limited-claude-*": {"provider": "anthropic", "model": "demo?text=a", "max_output_tokens": 500},
    "limited-*": {"provider": "openai", "model": "demo?text=a", "max_output_tokens": 500},
}
"""A request whose tokens have to be limited is translated."""
_MAX_BODY_BYTES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A gateway that speaks the APIs of others, with what is behind it."""

    gateway: ServedGateway
    simulator: Simulator
    worker: WorkerProcess
    settings: Settings

    async def call_of(self, model: str, *outcomes: str) -> None:
        """Waits until the provider's one call with this model has one of these outcomes."""
        async with asyncio.timeout(40):
            await self.simulator.journal.until(lambda entry: entry.model == model and entry.outcome in outcomes)

    def calls(self, model: str) -> int:
        """How often the provider was called with this model."""
        return sum(entry.model == model for entry in self.simulator.journal.entries)


@pytest.fixture
async def fronts(settings: Settings, tailrace: Tailrace) -> AsyncIterator[Live]:
    """The gateway, the simulator and a worker."""
    own = {"models": MODELS, "gateway_leave_seconds": LEAVE_SECONDS, "gateway_max_body_bytes": _MAX_BODY_BYTES}
    app = create_app(tailrace, gateway_settings(settings, **own))
    async with (
        Simulator() as simulator,
        worker_process(settings, simulator, **QUICK) as worker,
        served(app) as gateway,
    ):
        yield Live(gateway=gateway, simulator=simulator, worker=worker, settings=settings)


@pytest.fixture
def npm_packages() -> None:
    """Node with the packages that `run_node` needs."""
    needed()


async def run_node(script: str, argument: dict[str, Any]) -> dict[str, Any]:
    """Runs a script with one argument; returns the line of JSON that it prints."""
    text = (SCRIPTS / script).read_text(encoding="utf-8")
    command = ("node", "--input-type=module", "--eval", text, "--", json.dumps(argument))
    printed: dict[str, Any]
    printed, code = await printed_json(*command, cwd=PACKAGES, environment={**os.environ, "NO_PROXY": "127.0.0.1"})
    assert code == 0
    return printed
