"""nginx in front of the gateway, with its defaults, and a bare socket as the client."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.producer.gateway.conftest import Worker, gateway, working
from tests.support.eventually import eventually
from tests.support.gateways import ServedGateway

__all__ = ["gateway", "working"]

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed."),
]

CONFIGURATION = """
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {url};
        }}
    }}
}}
"""


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def port(gateway: ServedGateway, tmp_path: Path) -> AsyncIterator[int]:
    """The port of nginx."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(directory=tmp_path, port=port, url=gateway.url))
    process = await asyncio.create_subprocess_exec("nginx", "-p", str(tmp_path), "-c", str(configuration))
    try:
        await eventually(lambda: is_open(port))
        yield port
    finally:
        process.terminate()
        await process.wait()


async def open_stream(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    return reader, writer


async def test_the_first_bytes_come_at_once_and_so_does_each_event(
    gateway: ServedGateway, working: Worker, port: int
) -> None:
    created = await gateway.enqueue()
    worker = working(created["id"])
    await worker.start()
    reader, writer = await open_stream(port, created["events_url"])
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"event: started")
        for number in range(3):
            await worker.say(f"text {number}")
            await reader.readuntil(f"text {number}".encode())
    writer.close()


@pytest.mark.timeout(120)
async def test_a_silence_of_more_than_a_minute_is_not_cut(gateway: ServedGateway, working: Worker, port: int) -> None:
    created = await gateway.enqueue()
    worker = working(created["id"])
    await worker.start()
    reader, writer = await open_stream(port, created["events_url"])
    # Each comes after 10 s; by default nginx cuts a connection after 60 s without a byte.
    for _ in range(7):
        await reader.readuntil(b": keep-alive\n")
    await worker.complete()
    async with asyncio.timeout(20):
        await reader.readuntil(b"event: completed")
    writer.close()
