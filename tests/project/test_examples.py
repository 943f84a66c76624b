"""The examples of chat endpoints, each in its web framework, on a server and with a worker."""

import importlib.util
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import start_blocking_portal

from tailrace import Settings
from tailrace_worker.simulator import Simulator
from tests.support.processes import worker_process

httpx = pytest.importorskip("httpx")

pytestmark = pytest.mark.process

ROOT: Final = Path(__file__).parents[2]
LISTENING: Final = 100


@asynccontextmanager
async def worker_and_simulator(settings: Settings) -> AsyncGenerator[None]:
    async with Simulator() as simulator, worker_process(settings, simulator):
        yield


@pytest.fixture(scope="module")
def standing(broker_url: str) -> Generator[Settings]:
    """A Redis, and a worker whose provider is the simulator."""
    settings = Settings.read(redis_url=broker_url, prefix=f"test-examples-{os.getpid()}")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(worker_and_simulator(settings)):
        yield settings


@contextmanager
def serving(framework: str, settings: Settings) -> Generator[str]:
    """Runs the example of a framework, and gives its address."""
    variables = {"TAILRACE_REDIS_URL": settings.redis_url, "TAILRACE_PREFIX": settings.prefix}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Who connects before the server is ready waits here.
        listening.listen(LISTENING)
        options = ["--fd", str(listening.fileno()), "--log-level", "warning"]
        if framework == "django":
            options += ["--lifespan", "off"]
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", f"examples.chat_{framework}:app", *options],
            cwd=ROOT,
            env={**os.environ, **variables},
            pass_fds=[listening.fileno()],
        )
        host, port = listening.getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "litestar", "django"])
def test_a_chat_endpoint_streams_resumes_and_ends(framework: str, standing: Settings) -> None:
    for needed in ("uvicorn", framework):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed.")
    with serving(framework, standing) as address, httpx.Client(base_url=address, timeout=40, trust_env=False) as client:
        whole = client.post("/chat", json={"prompt": "Why do mills have tailraces?"})
        assert whole.status_code == 200
        headers = {"content-type": "text/event-stream", "cache-control": "no-cache, no-transform"}
        assert headers.items() <= dict(whole.headers).items()
        assert "content-encoding" not in whole.headers
        names = re.findall(r"^event: (.*)$", whole.text, re.MULTILINE)
        assert (names[:2], names[-1]) == (["queued", "started"], "completed")
        ids = re.findall(r"^id: (.*)$", whole.text, re.MULTILINE)
        assert len(ids) > 3

        path = f"/chat/{whole.headers['x-tailrace-job']}"
        rest = client.get(path, headers={"Last-Event-ID": ids[2]})
        opening, _, after = whole.text.partition("\n")
        assert rest.status_code == 200
        assert rest.text == f"{opening}\n{after[after.index(f'id: {ids[3]}') :]}"

        over = client.get(path, params={"after": ids[-1]})
        assert (over.status_code, over.content) == (204, b"")
        assert client.get(path, headers={"Last-Event-ID": "7-7"}).status_code == 400
        assert client.get(f"/chat/{'x' * 22}").status_code == 404
