"""A dedicated connection to Redis: many commands are sent in one write, and their replies are read in order."""

import asyncio
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, cast

import hiredis
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser

from tailrace.broker.client import CALL_TIMEOUT_SECONDS, Argument, our_errors
from tailrace.broker.connection import NotNow, is_demotion, is_passing, server_state_of
from tailrace.broker.in_process import InProcessTransport
from tailrace.broker.liveness import Patience, ServerState

_ROLE_SECONDS: Final = 1.0
_pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
_error_of = cast("Callable[[str], Exception]", DefaultParser.parse_error)  # pyright: ignore[reportUnknownMemberType]


def packed(*command: Argument) -> bytes:
    """Encode a command as it is sent over the wire."""
    return _pack(command)


_HELLO: Final = packed("HELLO", 2)
"""Its reply has the server's role, and no ACL forbids it."""


def bulk(part: bytes) -> bytes:
    """Encode one part of a command as it is sent over the wire."""
    return b"$%d\r\n%b\r\n" % (len(part), part)


class TooMuch(Exception):
    """Redis replied with more bytes than the caller allowed."""


class Wire:
    """A connection that never reconnects by itself: after it breaks, its owner decides what to send again."""

    def __init__(self, redis: Redis) -> None:
        pool: Any = redis.connection_pool
        self._connection: Any = pool.make_connection()
        self._server = server_state_of(pool)
        self._link: _Link | None = None
        self._role_due = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.disconnect()

    @property
    def is_connected(self) -> bool:
        """True unless the connection is known to be broken. An exchange that fails ends it."""
        return self._link is not None and self._link.broken is None

    async def connect(self) -> None:
        """Connect, after closing the connection before.

        Raises:
            BrokerUnavailable: Redis cannot be reached, or takes no commands now.
            BrokerRefused: Redis refused the connection.
        """
        await self.disconnect()
        with our_errors():
            # The kernel of a stopped server accepts the connection, but the server does not answer.
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                await self._connection.connect()
        # Redis-py does the handshake. After it its streams are bypassed, because they cost more than a whole batch.
        writer: Any = self._connection._writer  # noqa: SLF001
        transport = getattr(writer, "transport", None) or InProcessTransport(self._connection)
        self._link = _Link(transport, self._server)
        self._role_due = 0.0

    async def exchange(
        self, payload: bytes, replies: int, *, block_seconds: float = 0, max_bytes: float = math.inf
    ) -> list[Any]:
        """Send packed commands, and read their replies.

        Args:
            payload: The commands, packed.
            replies: How many commands they are.
            block_seconds: For how long the commands may block, in seconds.
            max_bytes: How many bytes the replies may have together.

        Returns:
            One reply for each command; an error reply is in the list as an exception.

        Raises:
            TooMuch: The replies have more than `max_bytes`. The connection is closed, and the rest is not read.
            BrokerUnavailable: The connection broke, or was silent for too long, or the server takes no commands now.
                Any of the commands may have run.
            BrokerRefused: The server requires a password now.
        """
        return await self._exchange(payload, replies, block_seconds, max_bytes)

    async def check_role(self) -> None:
        """Leave a server that is no longer a primary: it may never get new data. It is asked once a second at most.

        Raises:
            BrokerUnavailable: The server was demoted, or the connection broke.
        """
        now = time.monotonic()
        if now < self._role_due:
            return
        (hello,) = await self._exchange(_HELLO, 1)
        self._role_due = now + _ROLE_SECONDS
        if not isinstance(hello, list):
            # Redis 5, or a server that is only partly compatible.
            return
        said = cast("Any", hello)
        with our_errors():
            self._connected().meet(dict(zip(said[::2], said[1::2], strict=False)).get(b"role"))

    async def send(self, payload: bytes) -> None:
        """Send packed commands whose replies `hear` returns. If no reply comes in time, `hear` raises.

        Args:
            payload: The commands, packed.

        Raises:
            BrokerUnavailable: The connection broke.
        """
        with our_errors():
            self._connected().ask(payload)

    async def hear(self) -> list[Any]:
        """Wait for messages of Redis, without a limit. Only one task may call it at a time.

        Returns:
            All messages and replies that have arrived, at least one.

        Raises:
            BrokerUnavailable: The connection broke.
        """
        with our_errors():
            return await self._connected().replies(1)

    async def disconnect(self) -> None:
        """Close the connection at once, and drop unsent bytes. `connect` opens a new one."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()
        await self._connection.disconnect(nowait=True)

    async def _exchange(
        self, payload: bytes, replies: int, block_seconds: float = 0, max_bytes: float = math.inf
    ) -> list[Any]:
        link = self._connected()
        try:
            return await link.exchange(payload, replies, block_seconds, max_bytes)
        except BaseException:
            # Broken or cancelled: the replies that are still to come must not be taken for those of later commands.
            await self.disconnect()
            with our_errors():
                raise

    def _connected(self) -> "_Link":
        if self._link is None:
            with our_errors():
                raise exceptions.ConnectionError("the connection is closed")
        return self._link


_NOTHING: Final = object()


class _Link(asyncio.Protocol):
    """Reads replies as soon as they arrive, and wakes the task that waits after enough of them have arrived."""

    def __init__(self, transport: asyncio.Transport, server: ServerState) -> None:
        self.broken: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(server, self._break)
        self._server = server
        self._epoch = server.epoch
        self._transport = transport
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse, replyError=self._error, notEnoughData=_NOTHING
        )
        self._heard: list[Any] = []
        self._wanted = 0
        self._room_bytes = math.inf
        self._owes = False
        """True if nothing has arrived since the last command."""
        self._waiter: asyncio.Future[None] | None = None
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        heard, reader = self._heard, self._reader
        self._patience.hear()
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            self._break(TooMuch())
            self._transport.abort()
            return
        if self._owes:
            self._owes = False
            self._patience.end()
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                heard.append(reply)
        except exceptions.InvalidResponse as error:
            self._break(error)
        if len(heard) >= self._wanted:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(exceptions.ConnectionError(str(exc or "Redis closed the connection")))

    def send(self, payload: bytes) -> None:
        """Send bytes. Those that Redis does not read at once stay in memory, so callers wait for replies."""
        if self._epoch != self._server.epoch:
            self._break(NotNow("the server was demoted"))
        if self.broken is not None:
            # The transport is closed: asyncio's would accept bytes and drop them, uvloop's would raise no `OSError`.
            raise self.broken
        self._transport.write(payload)

    def ask(self, payload: bytes) -> None:
        """Send commands whose replies are read together with other messages."""
        self.send(payload)
        if not self._owes:
            self._owes = True
            self._patience.begin(sent_bytes=len(payload))

    def meet(self, role: Any) -> None:
        """Note the role of the server, and raise `NotNow` if it was demoted."""
        if not self._server.meet(self._epoch, is_primary=role == b"master"):
            self._break(NotNow("the server was demoted"))
            raise NotNow("the server was demoted")
        self._epoch = self._server.epoch

    def abort(self) -> None:
        """Close the connection at once. A normal close would wait for a server that reads nothing."""
        self._break(exceptions.ConnectionError("the connection was given up"))
        self._transport.abort()

    async def exchange(self, payload: bytes, count: int, block_seconds: float, max_bytes: float) -> list[Any]:
        """Send commands, and return their replies."""
        self._room_bytes = max_bytes
        self._patience.begin(sent_bytes=len(payload), block_seconds=block_seconds)
        try:
            self.send(payload)
            return await self.replies(count)
        finally:
            self._patience.end()

    async def replies(self, at_least: int) -> list[Any]:
        """Wait for a number of replies, and return all that have arrived."""
        while len(self._heard) < at_least and self.broken is None:
            self._wanted = at_least
            self._waiter = self._loop.create_future()
            await self._waiter
        if self.broken is not None:
            raise self.broken
        heard, self._heard = self._heard, []
        return heard

    def _error(self, message: str) -> Exception:
        error = _error_of(message)
        if is_passing(error):
            # A server that loads its data, or has become a replica, gives no usable reply.
            self.broken = NotNow(str(error))
            self.broken.__cause__ = error
            if is_demotion(error):
                self._server.leave(self._epoch)
        elif isinstance(error, exceptions.ConnectionError):
            self.broken = error
        return error

    def _break(self, why: Exception) -> None:
        self.broken = self.broken or why
        self._patience.end()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
