"""One connection to Redis of its own: many commands go out in one write, their replies are read in order."""

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
from tailrace.broker.connection import NotNow, endpoint_of, is_demotion, is_passing
from tailrace.broker.in_process import InProcessTransport
from tailrace.broker.liveness import Endpoint, Patience

_ROLE_SECONDS: Final = 1.0
_pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
_error_of = cast("Callable[[str], Exception]", DefaultParser.parse_error)  # pyright: ignore[reportUnknownMemberType]


def packed(*command: Argument) -> bytes:
    """A command as it goes over the wire."""
    return _pack(command)


_HELLO: Final = packed("HELLO", 2)
"""Its reply tells the server's role, and no ACL forbids it."""


def bulk(part: bytes) -> bytes:
    """One part of a command as it goes over the wire."""
    return b"$%d\r\n%b\r\n" % (len(part), part)


class TooMuch(Exception):
    """Redis replied with more bytes than the caller allowed."""


class Wire:
    """A connection that is made on purpose: who sees it break may have to look around before sending more."""

    def __init__(self, redis: Redis) -> None:
        pool: Any = redis.connection_pool
        self._connection: Any = pool.make_connection()
        self._endpoint = endpoint_of(pool)
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
        """Whether it stands, as far as is known: an exchange that fails ends it."""
        return self._link is not None and self._link.broken is None

    async def connect(self) -> None:
        """Raises `BrokerUnavailable` or `BrokerRefused`."""
        await self.disconnect()
        with our_errors():
            # A server that is stopped accepts the connection, and greets nobody.
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                await self._connection.connect()
        # The greetings are redis-py's; from here on its streams, which cost more than a batch, are out of the way.
        writer: Any = self._connection._writer  # noqa: SLF001
        transport = getattr(writer, "transport", None) or InProcessTransport(self._connection)
        self._link = _Link(transport, self._endpoint)
        self._role_due = 0.0

    async def exchange(
        self, payload: bytes, replies: int, *, block_seconds: float = 0, max_bytes: float = math.inf
    ) -> list[Any]:
        """Sends packed commands and reads their replies; an error that Redis replies with stands in its place.

        Args:
            payload: The packed commands.
            replies: How many commands there are.
            block_seconds: For how long the commands may block.
            max_bytes: How many bytes the replies may have.

        Raises:
            TooMuch: The replies have more than `max_bytes`. The connection is closed, and the rest is not read.
            BrokerUnavailable: The connection broke, or was silent for too long, or the server takes no commands now:
                nothing is known of any command.
            BrokerRefused: The server wants a password now.
        """
        return await self._exchange(payload, replies, block_seconds, max_bytes)

    async def check_role(self) -> None:
        """Leaves a server that is a primary no more: it may never hear of what is new. Asks once a second at most.

        Raises:
            BrokerUnavailable: The server was demoted, or the connection broke.
        """
        now = time.monotonic()
        if now < self._role_due:
            return
        (hello,) = await self._exchange(_HELLO, 1)
        self._role_due = now + _ROLE_SECONDS
        if not isinstance(hello, list):
            # Redis 5, or something that is not Redis all the way.
            return
        said = cast("Any", hello)
        with our_errors():
            self._connected().meet(dict(zip(said[::2], said[1::2], strict=False)).get(b"role"))

    async def send(self, payload: bytes) -> None:
        """Sends packed commands whose replies are heard; where none comes in time, `hear` raises.

        Raises:
            BrokerUnavailable: The connection broke.
        """
        with our_errors():
            self._connected().ask(payload)

    async def hear(self) -> list[Any]:
        """What Redis says unasked: all that has come. Waits for the first without a limit; one reader at a time.

        Raises:
            BrokerUnavailable: The connection broke.
        """
        with our_errors():
            return await self._connected().replies(1)

    async def disconnect(self) -> None:
        """Waits for nothing, and drops what Redis has not taken; `connect` makes it anew."""
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
            # Broken or cancelled in between: the replies that are still to come belong to nobody.
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
    """Reads what Redis says as soon as it comes, and wakes who waits once there is enough of it."""

    def __init__(self, transport: asyncio.Transport, endpoint: Endpoint) -> None:
        self.broken: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(endpoint, self._break)
        self._endpoint = endpoint
        self._epoch = endpoint.epoch
        self._transport = transport
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse, replyError=self._error, notEnoughData=_NOTHING
        )
        self._heard: list[Any] = []
        self._wanted = 0
        self._room_bytes = math.inf
        self._owes = False
        """Whether nothing has come since something was asked."""
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
        """What Redis does not take at once waits in memory: who sends much waits for replies."""
        if self._epoch != self._endpoint.epoch:
            self._break(NotNow("the server was demoted"))
        if self.broken is not None:
            # The transport is closed: asyncio's takes what it never sends, and uvloop's raises what is no `OSError`.
            raise self.broken
        self._transport.write(payload)

    def ask(self, payload: bytes) -> None:
        """Sends commands whose replies somebody hears, among whatever else is said."""
        self.send(payload)
        if not self._owes:
            self._owes = True
            self._patience.begin(sent_bytes=len(payload))

    def meet(self, role: Any) -> None:
        """The server has told its role. Raises `NotNow` if it was demoted."""
        if not self._endpoint.meet(self._epoch, is_primary=role == b"master"):
            self._break(NotNow("the server was demoted"))
            raise NotNow("the server was demoted")
        self._epoch = self._endpoint.epoch

    def abort(self) -> None:
        """Ends it at once: to close it would wait for a server that takes nothing, and so would who hears."""
        self._break(exceptions.ConnectionError("the connection was given up"))
        self._transport.abort()

    async def exchange(self, payload: bytes, count: int, block_seconds: float, max_bytes: float) -> list[Any]:
        """Sends commands, and returns their replies."""
        self._room_bytes = max_bytes
        self._patience.begin(sent_bytes=len(payload), block_seconds=block_seconds)
        try:
            self.send(payload)
            return await self.replies(count)
        finally:
            self._patience.end()

    async def replies(self, at_least: int) -> list[Any]:
        """All that has come, once that is enough."""
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
            # A server that is loading, or has become a replica, answers nothing that one could go on with.
            self.broken = NotNow(str(error))
            self.broken.__cause__ = error
            if is_demotion(error):
                self._endpoint.leave(self._epoch)
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
