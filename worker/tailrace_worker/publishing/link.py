"""`Link`: the publisher's connection to Redis, and what its replies tell about the server."""

import time
from typing import Any, Final, NoReturn

from redis.asyncio import Redis

from tailrace.broker.client import refused
from tailrace.broker.wire import Wire, packed
from tailrace.protocol.history import history_of

_PING: Final = packed("PING")
_INFO: Final = packed("INFO", "server", "replication")


class Link:
    """The publisher's connection. It remembers when Redis last replied, and which history its data has."""

    def __init__(self, redis: Redis) -> None:
        self.wire = Wire(redis)
        self.history = ""
        """The history of the server's data."""
        self.heard_at = time.monotonic()
        """When Redis last replied (`time.monotonic`)."""

    async def connect(self) -> None:
        """Connect, and ask for the history of the server's data.

        Raises:
            InfrastructureError: Redis failed.
        """
        await self.wire.connect()
        (info,) = await self.exchange(_INFO, 1)
        self.history = history_of(info)

    async def ping(self) -> None:
        """Check that the server still answers.

        Raises:
            InfrastructureError: It does not.
        """
        await self.exchange(_PING, 1)

    async def exchange(self, payload: bytes, replies: int) -> list[Any]:
        """Send packed commands, and return their replies.

        Args:
            payload: The commands.
            replies: How many replies to read.

        Returns:
            The replies in their order. An error reply is an exception in its place.

        Raises:
            InfrastructureError: The connection failed. It is not known whether Redis ran any of the commands.
        """
        answered = await self.wire.exchange(payload, replies)
        self.heard_at = time.monotonic()
        return answered

    async def refuse(self, reply: Exception, *command: str) -> NoReturn:
        """Disconnect from a server that refused a command: the next connection may reach another server.

        Args:
            reply: The error reply.
            command: The command.

        Raises:
            BrokerRefused: Always.
        """
        await self.wire.disconnect()
        raise refused(reply, *command)
