"""Finds out whether a silent connection to Redis is dead.

A connection can die silently: a NAT drops it, a host loses power, a failover moves an address. A healthy Redis can also
be silent for seconds: it forks, or runs a long script. A new connection shows the difference. Redis answers in the
order in which commands arrive, so if a new connection is answered and a silent one is not, the silent one is dead.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from redis import exceptions

_SMALL_BYTES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessLimits:
    """How long a connection may be silent. The defaults suit every deployment; tests pass others."""

    reply_timeout_seconds: float = 10.0
    """How long Redis may be silent on a connection while it owes a reply. No command blocks for longer."""
    suspect_seconds: float = 0.5
    """After this silence a connection is suspected to be dead."""
    suspect_again_seconds: float = 0.1
    """The same for a connection that has received nothing since another one of its pool was found dead."""
    slowest_bytes_per_second: int = 20_000
    """A network that carries less than this is too slow to be used."""
    probe_timeout_seconds: float = 2.0
    """How long the probe of a new connection may take."""
    probe_interval_seconds: float = 0.2
    """The pause between two probes of a server that did not answer."""


class ServerState:
    """What the connections of a pool know together about the server behind the URL."""

    def __init__(self, make_connection: Callable[[], Any], limits: LivenessLimits | None = None) -> None:
        """Start without knowledge of the server.

        Args:
            make_connection: Makes a connection of redis-py to probe the server with.
            limits: How long the connections may be silent.
        """
        self.limits: LivenessLimits = limits or LivenessLimits()
        self.epoch: int = 0
        """A connection of an earlier epoch leads to a server that was demoted since, and must be replaced."""
        self.dead_at: float = 0.0
        """When a connection was last found dead (the loop's time): others may have died with it."""
        self._make_connection = make_connection
        self._asking: asyncio.Task[bool] | None = None
        self._knows_primary = False
        self._is_left = False
        """True if the server was demoted, and no primary has been found since."""

    def leave(self, epoch: int) -> None:
        """Begin another epoch, because a server no longer accepts writes.

        Args:
            epoch: The epoch of the connection that found it.
        """
        if epoch == self.epoch:
            self.epoch += 1
            self._is_left = True

    def meet(self, epoch: int, *, is_primary: bool) -> bool:
        """Note the role of a connection's server.

        Only a client that has never met a primary stays with a replica: its URL is that of a replica.

        Args:
            epoch: The epoch of the connection.
            is_primary: True if the server is a primary.

        Returns:
            True if the connection may stay open.
        """
        if is_primary:
            self._knows_primary = True
            if self._is_left:
                # Connections made in between may still lead to the old one.
                self._is_left = False
                self.epoch += 1
            return True
        if self._knows_primary:
            self.leave(epoch)
        return not self._knows_primary

    async def answers(self) -> bool:
        """Return true if Redis answers a new connection in time. Callers at the same time share one connection."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        # Shielded, so that a caller that is cancelled does not cancel the probe of the others.
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        connection = self._make_connection()
        try:
            async with asyncio.timeout(self.limits.probe_timeout_seconds):
                await connection.connect()
                await connection.send_command("PING", check_health=False)
                await connection.read_response()
        except (exceptions.RedisError, OSError):
            return False
        finally:
            await connection.disconnect(nowait=True)
        return True


class Patience:
    """Gives up a silent connection: soon if Redis answers a new one, otherwise after the reply timeout."""

    __slots__ = (
        "_doubting",
        "_give_up",
        "_heard_at",
        "_limits",
        "_owed_since",
        "_owes",
        "_server",
        "_suspect_seconds",
        "_timer",
    )

    def __init__(self, server: ServerState, give_up: Callable[[Exception], None]) -> None:
        """Start with a connection that owes no reply.

        Args:
            server: What the pool knows of the server, and the limits.
            give_up: Ends everything that waits for the connection.
        """
        self._server = server
        self._limits = server.limits
        self._give_up = give_up
        self._heard_at = 0.0
        self._owed_since = 0.0
        self._owes = False
        self._suspect_seconds = self._limits.suspect_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._doubting: asyncio.Task[None] | None = None

    def begin(self, *, sent_bytes: int = 0, block_seconds: float = 0) -> None:
        """Note that Redis owes a reply from now on.

        Args:
            sent_bytes: How many bytes were sent, which may take a while on a slow network.
            block_seconds: For how long the command may block, in seconds.
        """
        if self._doubting is not None:
            self.end()
        loop = asyncio.get_running_loop()
        self._owes = True
        self._owed_since = loop.time() + block_seconds
        if sent_bytes > _SMALL_BYTES:
            limits = self._limits
            self._owed_since += min(sent_bytes / limits.slowest_bytes_per_second, limits.reply_timeout_seconds)
        if self._heard_at < self._server.dead_at:
            self._suspect_seconds = self._limits.suspect_again_seconds
            self._disarm()
        if self._timer is None:
            self._arm(loop)

    def hear(self) -> None:
        """Note that bytes have arrived, perhaps only a part of a reply."""
        self._heard_at = asyncio.get_running_loop().time()

    def end(self) -> None:
        """Note that Redis owes no reply."""
        self._owes = False
        self._suspect_seconds = self._limits.suspect_seconds
        if self._doubting is not None:
            self._doubting.cancel()
            self._doubting = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        # The timer outlives the reply: one timer each half second costs less than one for each reply.
        self._timer = loop.call_later(self._suspect_seconds - self._silent_seconds(loop), self._suspect)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _suspect(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if not self._owes:
            return
        if self._silent_seconds(loop) < self._suspect_seconds:
            self._arm(loop)
        elif self._doubting is None:
            self._doubting = loop.create_task(self._doubt())

    async def _doubt(self) -> None:
        loop = asyncio.get_running_loop()
        while (silent_seconds := self._silent_seconds(loop)) < self._limits.reply_timeout_seconds:
            if silent_seconds < self._suspect_seconds:
                await asyncio.sleep(self._suspect_seconds - silent_seconds)
                continue
            asked_at = loop.time()
            if await self._server.answers() and self._heard_at < asked_at:
                self._server.dead_at = loop.time()
                self._give_up(exceptions.TimeoutError("the connection is dead: Redis answers a new one"))
                return
            await asyncio.sleep(self._limits.probe_interval_seconds)
        self._give_up(exceptions.TimeoutError(f"no reply within {self._limits.reply_timeout_seconds:g} s"))

    def _silent_seconds(self, loop: asyncio.AbstractEventLoop) -> float:
        return loop.time() - max(self._owed_since, self._heard_at)
