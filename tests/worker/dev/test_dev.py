"""`tailrace dev` as a process: what it serves and shows, how it ends, and that nothing of it is left."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import psutil
import pytest

from tailrace import Settings
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.gateways import NEW_JOB
from tests.support.terminal import at_terminal
from tests.support.verb_process import VerbProcess, running_verb

RunDev = Callable[..., AbstractAsyncContextManager[VerbProcess]]

OPEN = "Open http://127.0.0.1:"
LINE = re.compile(r"(tailrace |valkey   |simulator|worker-1 |worker-2 |gateway  ) \|( .*)?")
LONG = {**NEW_JOB, "model": "demo?pieces=5000&interval_ms=20"}


@pytest.fixture
def run_dev(tmp_path: Path) -> RunDev:
    """Runs it in a folder of the test's own, without keys, but for what is given."""

    @asynccontextmanager
    async def run(*options: str, **given: Any) -> AsyncGenerator[VerbProcess]:
        arguments = ("dev", *(options or ("--port=0",)))
        async with running_verb(*arguments, scratch=tmp_path, directory=tmp_path, **given) as dev:
            yield dev

    return run


@asynccontextmanager
async def client_of(dev: VerbProcess) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of its gateway, once it is ready."""
    (url,) = re.findall(r"Open (\S+)", await dev.shows(OPEN))
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        yield client


async def reaches(client: httpx.AsyncClient, job: str, kind: str, *, attempt: int = 1) -> None:
    """Reads the events of a job to the first one of a kind in this attempt, or in a later one."""
    current = 0
    async with asyncio.timeout(150), httpx_sse.aconnect_sse(client, "GET", f"/v1/jobs/{job}/events") as source:
        async for event in source.aiter_sse():
            if event.event == "started":
                current = json.loads(event.data)["attempt"]
            if event.event == kind and current >= attempt:
                return
    raise AssertionError(f"no {kind} in attempt {attempt}")


def redis_url_of(shown: str) -> str:
    (url,) = re.findall(r"In other terminals: export TAILRACE_REDIS_URL=(\S+)", shown)
    return str(url)


@pytest.mark.timeout(600)
async def test_jobs_are_served_and_are_still_there_after_a_restart(run_dev: RunDev, tmp_path: Path) -> None:
    async with run_dev(HTTP_PROXY="http://127.0.0.1:9") as dev, client_of(dev) as client:
        assert (await client.get("/readyz")).status_code == 200
        providers = (await client.get("/v1/providers")).json()
        assert (providers["chat_provider"], providers["chat_model"]) == ("openai", "demo")
        assert {each["workers"] for each in providers["providers"]} == {2}
        whole = (await client.post("/v1/jobs", json={**NEW_JOB, "model": "demo?pieces=5&interval_ms=1"})).json()["id"]
        await reaches(client, whole, "completed")
        cut = (await client.post("/v1/jobs", json=LONG)).json()["id"]
        await reaches(client, cut, "delta")
        with (tmp_path / ".tailrace" / "valkey.log").open("a") as log:
            log.write("what Valkey logs\n")
        await dev.shows("valkey    | what Valkey logs")
        dev.send(signal.SIGTERM)
        assert await dev.ends() == (0, "")
        assert not [*dev.processes()]
    assert all(LINE.fullmatch(line) for line in dev.shown.splitlines()), dev.shown
    assert "simulated, because OPENAI_API_KEY is not set" in dev.shown
    assert re.search(
        rf"^gateway   \| \d\d:\d\d:\d\d INFO \S+ GET /v1/jobs/{whole}/events 200 ", dev.shown, re.MULTILINE
    )
    assert {f"worker-{number}" for number in (1, 2)} <= {line.split()[0] for line in dev.shown.splitlines()}

    async with run_dev() as again, client_of(again) as client:
        assert redis_url_of(again.shown) == redis_url_of(dev.shown)
        assert (await client.get(f"/v1/jobs/{whole}")).json()["state"] == "completed"
        await reaches(client, cut, "delta", attempt=2)
        again.send(signal.SIGINT)
        assert await again.ends() == (0, "")
    assert (tmp_path / ".tailrace" / ".gitignore").exists()


@pytest.mark.process
@pytest.mark.timeout(300)
async def test_ctrl_c_at_a_terminal_ends_all(tmp_path: Path) -> None:
    async with at_terminal("dev", "--port=0", "--data", str(tmp_path / "data")) as terminal:
        await terminal.shows(OPEN, within_seconds=150)
        (dev,) = (each for each in psutil.Process().children() if str(tmp_path / "data") in each.cmdline())
        processes = [dev, *dev.children(recursive=True)]
        assert len(processes) == 11, "itself, five processes, and a watchdog each"
        terminal.press("\x03")
        assert await terminal.ended() == 0
    assert "\x1b[33msimulator |\x1b[39m " in terminal.screen.written
    assert not any(process.is_running() for process in processes)


@pytest.mark.timeout(300)
async def test_a_signal_during_the_start_ends_it(run_dev: RunDev) -> None:
    async with run_dev() as dev:
        await dev.shows("simulator | ")
        dev.send(signal.SIGINT)
        assert await dev.ends() == (0, "")
        assert not [*dev.processes()]


@pytest.mark.timeout(300)
async def test_a_second_signal_ends_at_once_what_does_not_end(run_dev: RunDev) -> None:
    async with run_dev() as dev:
        await dev.shows(OPEN)
        workers = dev.find("tailrace.cli", "worker")
        for worker in workers:
            worker.suspend()
        dev.send(signal.SIGTERM)
        await dev.shows("Ending.")
        dev.send(signal.SIGTERM)
        # Their grace time is 10 s, and begins when the gateway has ended.
        gone, _ = await asyncio.to_thread(psutil.wait_procs, workers, timeout=9)
        assert len(gone) == 2
        assert await dev.ends() == (0, "")
        assert not [*dev.processes()]


@pytest.mark.timeout(300)
async def test_a_killed_one_leaves_nothing_behind(run_dev: RunDev) -> None:
    async with run_dev() as dev:
        await dev.shows(OPEN)
        assert len([*dev.processes()]) == 11, "itself, five processes, and a watchdog each"
        dev.send(signal.SIGKILL)
        await dev.ends()
        await dev.leaves_nothing()


async def test_a_worker_that_dies_ends_all_and_is_named(run_dev: RunDev) -> None:
    async with run_dev() as dev:
        await dev.shows(OPEN)
        min(dev.find("tailrace.cli", "worker"), key=lambda process: process.create_time()).kill()
        code, errors = await dev.ends()
        assert code == 1
        assert errors.startswith("tailrace dev: worker-1 has ended with exit code 137:\n")
        assert "Traceback" not in errors
        assert not [*dev.processes()]


@pytest.mark.timeout(300)
async def test_a_valkey_that_dies_ends_all_and_is_named(run_dev: RunDev) -> None:
    async with run_dev() as dev:
        await dev.shows(OPEN)
        (server,) = (each for each in dev.processes() if "valkey-server" in each.name())
        server.kill()
        assert await dev.ends() == (
            1,
            "tailrace dev: valkey has ended with exit code 137. Its log is in '.tailrace/valkey.log'.\n",
        )


@pytest.mark.timeout(300)
async def test_a_redis_and_a_key_that_are_given_are_used(run_dev: RunDev, settings: Settings, tmp_path: Path) -> None:
    given = {"TAILRACE_REDIS_URL": settings.redis_url, "TAILRACE_PREFIX": settings.prefix}
    async with run_dev(ANTHROPIC_API_KEY="sk-any", TAILRACE_LOG_LEVEL="error", **given) as dev:
        await dev.shows(OPEN)
        assert f"Redis: {settings.redis_url}, yours" in dev.shown
        assert "OpenAI: simulated" in dev.shown
        assert "Anthropic: called with your key" in dev.shown
        assert "sk-any" not in dev.shown
        dev.send(signal.SIGHUP)
        assert await dev.ends() == (0, "")
    assert not (tmp_path / ".tailrace").exists()


@pytest.mark.parametrize(("url", "code"), [("redis://127.0.0.1:1/0", 1), ("not-a-url", 2)])
async def test_a_redis_that_cannot_be_used_is_told_on_one_line(run_dev: RunDev, url: str, code: int) -> None:
    async with run_dev("--port=0", f"--redis-url={url}") as dev:
        ended, errors = await dev.ends()
        assert ended == code
        assert re.fullmatch(r"tailrace dev: [^\n]+\n", errors)
        assert url in errors


@pytest.mark.redis
async def test_a_folder_in_use_is_refused(run_dev: RunDev, tmp_path: Path) -> None:
    (tmp_path / ".tailrace").mkdir()
    with EmbeddedBroker(folder=tmp_path / ".tailrace"):
        async with running_verb("dev", scratch=tmp_path / "none", directory=tmp_path) as dev:
            code, errors = await dev.ends()
    assert code == 1
    assert errors.startswith("tailrace dev: The data folder '.tailrace' is in use by another Valkey server: ")


async def test_a_folder_that_is_none_is_refused(run_dev: RunDev, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with run_dev("--data=file") as dev:
        assert await dev.ends() == (2, "tailrace dev: --data: 'file' cannot be used as a folder: File exists.\n")


async def test_a_port_in_use_is_told_before_anything_is_started(run_dev: RunDev) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with run_dev(f"--port={port}") as dev:
            code, errors = await dev.ends()
    assert code == 1
    assert errors.startswith(f"tailrace dev: Cannot listen on 127.0.0.1 port {port}: Address already in use.")
    assert errors.endswith("--port.\n")
    assert dev.shown == ""
