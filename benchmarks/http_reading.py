"""The HTTP clients of `gateway`, in a process of their own: they read streams off bare sockets.

A client notes when which delta has come, by the machine's monotonic time that is the delta's text. It decodes no more
than that, so that the clients take as little as they can of what the server needs.
"""

import asyncio
import re
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, Final

import uvloop

from benchmarks.figures import percentile
from benchmarks.process import answer

_STAMP: Final = re.compile(rb'"text": "(\d+)"')
_OPENING: Final = 100
"""How many clients connect at the same time."""
_OPEN_SECONDS: Final = 120


class _Client(asyncio.Protocol):
    """One stream. Of each chunk the deltas are looked for; frames are small, and come whole."""

    def __init__(self, clients: "Clients") -> None:
        self._clients = clients
        self.opened = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.opened.done() and b"event: queued" in data:
            self.opened.set_result(None)
        self._clients.note(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("The server has closed a stream."))


class Clients:
    """All streams that are open."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._loop = asyncio.get_running_loop()
        self._read_at_ns = array("q")
        self._took_ns = array("q")
        self._slow: list[asyncio.Task[None]] = []

    def note(self, data: bytes) -> None:
        """Notes the deltas in a piece of a stream."""
        read_at_ns = time.monotonic_ns()
        for stamp in _STAMP.findall(data):
            self._took_ns.append(read_at_ns - int(stamp))
            self._read_at_ns.append(read_at_ns)

    def open(self, paths: list[str]) -> None:
        """Opens so many more streams; returns when each has shown its first event."""
        asyncio.run_coroutine_threadsafe(self._open(paths), self._loop).result()

    def open_slow(self, path: str) -> None:
        """Opens a stream that reads one byte a second."""
        asyncio.run_coroutine_threadsafe(self._open_slow(path), self._loop).result()

    def between(self, from_ns: int, to_ns: int) -> dict[str, Any]:
        """How many deltas were read in a span of time, and how long they took."""
        took_ms = [
            took_ns / 1e6
            for took_ns, read_at_ns in zip(self._took_ns, self._read_at_ns, strict=False)
            if from_ns <= read_at_ns < to_ns
        ]
        percents = (50, 99) if took_ms else ()
        return {"events": len(took_ms), **{f"p{percent}_ms": percentile(took_ms, percent) for percent in percents}}

    async def _open(self, paths: list[str]) -> None:
        opening = asyncio.Semaphore(_OPENING)
        async with asyncio.timeout(_OPEN_SECONDS), asyncio.TaskGroup() as tasks:
            for path in paths:
                tasks.create_task(self._open_one(path, opening))

    async def _open_one(self, path: str, opening: asyncio.Semaphore) -> None:
        async with opening:
            transport, client = await self._loop.create_connection(lambda: _Client(self), self._host, self._port)
            transport.write(_request(path))
            await client.opened

    async def _open_slow(self, path: str) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1)
        writer.write(_request(path))

        async def read() -> None:
            # It is what makes the client slow.
            while await reader.read(1):  # noqa: ASYNC110
                await asyncio.sleep(1)

        self._slow.append(asyncio.create_task(read()))


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


async def main(host: str, port: str) -> None:
    """Runs the process, until nobody is left who asks."""
    clients = Clients(host, int(port))
    answers: dict[str, Callable[..., object]] = {
        "open": clients.open,
        "open_slow": clients.open_slow,
        "between": clients.between,
    }
    await asyncio.to_thread(answer, answers)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
