"""One connection to Redis of its own: many commands go out in one write, their replies are read in order."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

import hiredis
from redis import exceptions
from redis.asyncio import Redis

from tailrace.broker import REPLY_TIMEOUT_SECONDS, Argument, our_errors

_pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


def packed(*command: Argument) -> bytes:
    """A command as it goes over the wire."""
    return _pack(command)


class Wire:
    """A connection that is made on purpose: who sees it break may have to look around before sending more."""

    def __init__(self, redis: Redis) -> None:
        pool: Any = redis.connection_pool
        self._connection: Any = pool.make_connection()

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
                    return [await self._reply() for _ in range(replies)]
            except BaseException:
                # Broken or cancelled in between: the replies that are still to come belong to nobody.
                await self.disconnect()
                raise

    async def disconnect(self) -> None:
        """Waits for nothing; `connect` makes it anew."""
        await self._connection.disconnect(nowait=True)

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except exceptions.BusyLoadingError:
            raise
        except exceptions.ResponseError as error:
            return error
