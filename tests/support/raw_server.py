"""A provider's server that says exactly these bytes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from tailrace_worker.providers import open_providers
from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.http.connection_limits import ConnectionLimits
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tests.support.wire_server import KEYS

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """A chunk of a body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who has connected."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> tuple[str, bytes]:
        """Reads a request to its end; returns its path and its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length: ")
        return head.split()[1].decode(), await self.reader.readexactly(int(length.partition(b"\r\n")[0]))

    async def say(self, *parts: bytes) -> None:
        """Says them in one go."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def left(self) -> None:
        """Returns once the other side has closed the connection."""
        with suppress(ConnectionError):
            await self.reader.read()


@asynccontextmanager
async def raw_server(serve: Callable[[Peer], Awaitable[None]]) -> AsyncGenerator[str]:
    """A server that serves each connection so, and closes it then; gives its address."""

    serving: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(Peer(reader, writer))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve_one(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def raw_providers(
    serve: Callable[[Peer], Awaitable[None]], monkeypatch: pytest.MonkeyPatch, wake_batcher: WakeBatcher | None = None
) -> AsyncGenerator[Mapping[str, Provider]]:
    """The adapters, pointed at such a server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with raw_server(serve) as url:
        for owner, key in KEYS.items():
            monkeypatch.setenv(f"{owner.upper()}_API_KEY", key)
            monkeypatch.setenv(f"{owner.upper()}_BASE_URL", url)
        async with open_providers({}, wake_batcher, connections=ConnectionLimits(warm_connections=0)) as providers:
            yield providers
