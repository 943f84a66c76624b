"""A blocking client, and what a worker writes."""

import threading
from collections.abc import Callable, Iterator
from secrets import token_hex

import pytest

from tailrace import Settings, sync
from tests.support.blocking_stream import BlockingStream
from tests.support.handwritten import REQUEST


@pytest.fixture
def name() -> str:
    """The name of the client's connections."""
    return f"sync-{token_hex(4)}"


@pytest.fixture
def client(settings: Settings, name: str) -> Iterator[sync.Tailrace]:
    with sync.Tailrace.connect(f"{settings.redis_url}?client_name={name}", prefix=settings.prefix) as client:
        yield client
    assert "tailrace.sync" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def job(client: sync.Tailrace) -> sync.Job:
    return client.enqueue(REQUEST)


@pytest.fixture
def stream(settings: Settings, job: sync.Job) -> Iterator[BlockingStream]:
    stream = BlockingStream(settings, job.id)
    yield stream
    stream.close()


@pytest.fixture
def connections(stream: BlockingStream, name: str) -> Callable[[], int]:
    """How many connections the client has."""
    return lambda: sum(each["name"] == name for each in stream.redis.client_list())
