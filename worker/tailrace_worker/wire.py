"""One connection to Redis of its own: many commands go out in one write, their replies are read in order."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

import hiredis
from redis import exceptions
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser

from tailrace.broker import REPLY_TIMEOUT_SECONDS, Argument, our_errors

_READ_BYTES = 65_536

_pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


def packed(*command: Argument) -> bytes:
    """A command as it goes over the wire."""
    return _pack(command)


def bulk(part: bytes) -> bytes:
    """One part of a command as it goes over the wire."""
    return b"$%d\r\n%b\r\n" % (len(part), part)


_HiredisParser: Any = DefaultParser
"""What redis-py takes where hiredis is installed, and the worker needs that."""


class _Parser(_HiredisParser):  # type: ignore[misc]
    """Reads the replies of a batch as one: to ask the connection for each costs more than to send the commands."""

    replies = 1

    async def read_response(self, disable_decoding: bool = False) -> Any:
        hiredis_: Any = super()
        if self.replies == 1:
            return await hiredis_.read_response(disable_decoding=disable_decoding)
        read: list[Any] = []
        while len(read) < self.replies:
            reply = self._reader.gets(False)
            if reply is NOT_ENOUGH_DATA:
                await hiredis_.read_from_socket()
            else:
                read.append(reply)
        return read


class Wire:
    """A connection that is made on purpose: who sees it break may have to look around before sending more."""

    def __init__(self, redis: Redis) -> None:
        pool: Any = redis.connection_pool
        self._parser: Any = _Parser(socket_read_size=_READ_BYTES)
        self._connection: Any = pool.make_connection()
        self._connection.set_parser(self._made)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.disconnect()

    @property
    def is_connected(self) -> bool:
        """Whether it stands, as far as is known: an exchange that fails ends it."""
        return bool(self._connection.is_connected)

    async def connect(self) -> None:
        """Raises `BrokerUnavailable` or `BrokerRefused`."""
        with our_errors():
            await self._connection.connect()

    async def exchange(self, payload: bytes, replies: int) -> list[Any]:
        """Sends packed commands and reads their replies; an error that Redis replies with stands in its place.

        Raises:
            BrokerUnavailable: The connection broke, or a reply took too long: nothing is known of any command.
        """
        with our_errors():
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_SECONDS):
                    await self._connection.send_packed_command(payload, check_health=False)
                    return await self._replies(replies)
            except BaseException:
                # Broken or cancelled in between: the replies that are still to come belong to nobody.
                await self.disconnect()
                raise

    async def disconnect(self) -> None:
        """Waits for nothing; `connect` makes it anew."""
        await self._connection.disconnect(nowait=True)

    def _made(self, **_: object) -> Any:
        return self._parser

    async def _replies(self, count: int) -> list[Any]:
        self._parser.replies = count
        read: Any
        try:
            read = await self._connection.read_response(disable_decoding=True)
        except exceptions.BusyLoadingError:
            raise
        except exceptions.ResponseError as error:
            read = error
        finally:
            # The greetings of the next connection come one by one.
            self._parser.replies = 1
        replies: list[Any] = [read] if count == 1 else read
        for reply in replies:
            if isinstance(reply, exceptions.ConnectionError):
                raise reply
        return replies
