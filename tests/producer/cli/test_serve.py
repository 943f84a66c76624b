"""`tailrace serve` as a process."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from tailrace import Settings
from tailrace.cli import main
from tests.support.gateways import NEW_JOB

pytestmark = pytest.mark.process


@asynccontextmanager
async def serving(settings: Settings, *options: str) -> AsyncGenerator[tuple[Process, str]]:
    """The command, and the URL that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace", "serve", "--port", "0", *options),
        env={**os.environ, "TAILRACE_REDIS_URL": settings.redis_url, "TAILRACE_PREFIX": settings.prefix},
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(40):
            line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"gateway on (http://\S+), for this machine only\n", line)
        assert found, (line, await process.communicate())
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_gateway_serves_until_a_signal_ends_it(settings: Settings, number: signal.Signals) -> None:
    async with serving(settings) as (process, url), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        created = (await client.post("/v1/jobs", json=NEW_JOB)).json()
        assert (await client.get(f"/v1/jobs/{created['id']}?token=secret")).json()["state"] == "queued"
        process.send_signal(number)
        async with asyncio.timeout(20):
            _, stderr = await process.communicate()
    assert process.returncode == 0
    assert f"GET /v1/jobs/{created['id']} 200" in stderr.decode()
    assert "secret" not in stderr.decode()
    assert "Traceback" not in stderr.decode()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com"])  # noqa: S104
def test_without_keys_only_the_loopback_interface_is_served(
    host: str, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("TAILRACE_PREFIX", settings.prefix)
    assert main(["serve", "--host", host]) == 2
    assert "not a loopback address, and no API keys are configured" in capsys.readouterr().err


async def test_an_address_that_is_taken_is_told(settings: Settings) -> None:
    async with serving(settings) as (_, url):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tailrace", "serve", "--port", url.rpartition(":")[2]), stdout=PIPE, stderr=PIPE
        )
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert stderr.decode().startswith("tailrace serve: Cannot listen on 127.0.0.1 port ")


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(SystemExit):
        main(["serve", f"--port={port}"])
