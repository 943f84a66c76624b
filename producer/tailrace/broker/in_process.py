"""Connections without a socket: fakeredis answers in the process, and its replies are objects."""

import asyncio
from typing import Any, cast

from redis import exceptions


class InProcessTransport(asyncio.Transport):
    """Makes a connection of fakeredis look like a socket, by the public methods of redis-py's connections."""

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection
        self._protocol: asyncio.Protocol | None = None
        self._written: asyncio.Queue[bytes | bytearray | memoryview] = asyncio.Queue()
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(self._end)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Set the protocol that gets the replies."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send packed commands."""
        self._written.put_nowait(data)

    def abort(self) -> None:
        """Stop sending and receiving."""
        self._running.cancel()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._send())
            both.create_task(self._hear())

    def _end(self, running: asyncio.Task[None]) -> None:
        """Report every failure, a defect of the fake too, at once to the task that waits for a reply."""
        if not running.cancelled() and self._protocol is not None:
            broken = cast("ExceptionGroup[Exception]", running.exception())
            self._protocol.connection_lost(broken.exceptions[0])

    async def _send(self) -> None:
        while True:
            await self._connection.send_packed_command(await self._written.get())

    async def _hear(self) -> None:
        while True:
            try:
                reply = await self._connection.read_response()
            except exceptions.ConnectionError:
                raise
            except exceptions.RedisError as error:
                reply = error
            if self._protocol is not None:
                self._protocol.data_received(_packed(reply))


def _packed(reply: Any) -> bytes:
    """Encode a reply as it is sent over the wire."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case list() | tuple():
            parts = cast("list[Any]", reply)
            return b"*%d\r\n%b" % (len(parts), b"".join(map(_packed, parts)))
        case _:
            return b"-ERR %b\r\n" % str(reply).encode()
