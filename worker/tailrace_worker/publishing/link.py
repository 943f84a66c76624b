"""`Link`: the publisher's connection to Redis, and what is known of the server by its replies."""

import time
from typing import Any, Final, NoReturn

from redis.asyncio import Redis

from tailrace.broker.client import refused
from tailrace.broker.wire import Wire, packed
from tailrace.protocol.history import history_of

_PING: Final = packed("PING")
_INFO: Final = packed("INFO", "server", "replication")


class Link:
    """Exchanges commands for replies, and remembers when Redis replied last, and from which history of its data."""

    def __init__(self, redis: Redis) -> None:
        self.wire = Wire(redis)
        self.history = ""
        """The history of the data that the connection reaches."""
        self.heard_at = time.monotonic()
        """When Redis replied last (`time.monotonic`)."""

    async def connect(self) -> None:
        """Connect, and ask which history of the data is there. Raises `InfrastructureError`."""
        await self.wire.connect()
        (info,) = await self.exchange(_INFO, 1)
        self.history = history_of(info)

    async def ping(self) -> None:
        """Notice a server that went away. Raises `InfrastructureError`."""
        await self.exchange(_PING, 1)

    async def exchange(self, payload: bytes, replies: int) -> list[Any]:
        """Send packed commands and return so many replies; an error reply stands in its place.

        Raises:
            InfrastructureError: Nothing is known of any command.
        """
        answered = await self.wire.exchange(payload, replies)
        self.heard_at = time.monotonic()
        return answered

    async def refuse(self, reply: Exception, *command: str) -> NoReturn:
        """Leave a server that refused a command, and raise `BrokerRefused`: what answers then may be another server."""
        await self.wire.disconnect()
        raise refused(reply, *command)
