"""Recorded wire data, replayed over HTTP."""

from collections.abc import AsyncGenerator, Generator, Mapping

import pytest

from tailrace_worker.providers import open_providers
from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.http.connection_limits import ConnectionLimits
from tests.recorded.replay import Replay, running_replay


@pytest.fixture(scope="session")
def replay() -> Generator[Replay]:
    """The replay server: one for all the tests, which keep apart by their models' names."""
    with running_replay() as server:
        yield server


@pytest.fixture
async def providers(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Mapping[str, Provider]]:
    """The adapters, pointed at the replay server by the SDKs' own variables."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-replayed-openai")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{replay.url}/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-replayed-anthropic")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", replay.url)
    # The server closes each connection after its answer without announcing it: one kept for the next call may be dead.
    connections = ConnectionLimits(idle_seconds=0, warm_connections=0)
    async with open_providers({}, connections=connections) as providers:
        yield providers
