"""A TCP proxy in front of Redis that can lose replies, cut connections and let them die, at a chosen moment."""

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

BEGINS: Final = b"\r\n88400\r\n"
"""In the first request that arq makes for a job which was claimed: how long it keeps the counter of its tries."""
RESET: Final = struct.pack("ii", 1, 0)
"""To linger for no time (`SO_LINGER`): the connection is reset when it is closed."""


class Proxy:
    """Forwards to the server of a URL. While `hold_replies` is set, requests pass and replies do not."""

    def __init__(self, redis_url: str) -> None:
        self._target = urlsplit(redis_url)
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._requests = b""
        self._replies = b""
        self._heard = asyncio.Condition()
        self.hold_replies = False
        self.refuses = False
        """Whether new connections are closed at once."""
        self._epoch = 0
        self.bytes_per_second = 0
        """How much each connection carries each way; 0: as much as comes."""
        self.trap: bytes | None = None
        """Once a request holds this, no reply passes any more: who sent it is caught between request and reply."""

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """From now on the server is away: no new connection is made, and those there are break."""
        assert self._server is not None
        self._server.close()
        await self.cut()

    def retarget(self, redis_url: str) -> None:
        """New connections lead to another server; those there are stay."""
        self._target = urlsplit(redis_url)

    def deaden(self) -> None:
        """The connections there are pass nothing on any more, and nobody is told; new ones work."""
        self._epoch += 1

    async def requested(self, needle: bytes) -> None:
        """Waits until a request that holds the needle has been passed on, since the last call."""
        async with self._heard:
            await self._heard.wait_for(lambda: needle in self._requests)
            self._requests = b""

    async def replied(self, needle: bytes) -> None:
        """Waits until a reply that holds the needle has been passed back."""
        async with self._heard:
            await self._heard.wait_for(lambda: needle in self._replies)

    async def reset(self) -> None:
        """Resets all connections, as a machine does that no longer knows of them."""
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await self.cut()

    async def cut(self) -> None:
        """Breaks all connections, and lets replies pass again on new ones."""
        for writer in self._writers:
            writer.transport.abort()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self._writers.clear()
        self._pumps.clear()
        self.hold_replies = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(up_writer)
        epoch = self._epoch
        for pump in (self._requests_of(reader, up_writer, epoch), self._replies_of(up_reader, writer, epoch)):
            self._pumps.add(asyncio.create_task(pump))

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        rate = self.bytes_per_second
        data = await reader.read(rate // 20 or 65_536)
        if rate:
            await asyncio.sleep(len(data) / rate)
        return data

    async def _requests_of(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, epoch: int) -> None:
        with suppress(ConnectionError):
            while data := await self._read(reader):
                if epoch < self._epoch:
                    continue
                if self.trap is not None and self.trap in data:
                    self.hold_replies = True
                writer.write(data)
                await writer.drain()
                async with self._heard:
                    self._requests += data
                    self._heard.notify_all()
        writer.close()

    async def _replies_of(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, epoch: int) -> None:
        with suppress(ConnectionError):
            while data := await self._read(reader):
                if self.hold_replies or epoch < self._epoch:
                    continue
                writer.write(data)
                await writer.drain()
                async with self._heard:
                    self._replies += data
                    self._heard.notify_all()
        writer.close()
