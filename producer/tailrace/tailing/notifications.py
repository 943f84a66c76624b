"""The bells of all tailed jobs, heard on one connection."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis

from tailrace.broker.client import refused
from tailrace.broker.outage import Dependent
from tailrace.broker.wire import Wire, packed
from tailrace.errors import InfrastructureError

_PING: Final = packed("PING")
_PING_SECONDS = 1.0
"""How long a connection that has died is not missed."""
_RETRY_SECONDS = 0.2
_AT_ONCE = 1_000
_RINGS: Final = frozenset({b"message", b"subscribe"})
"""A confirmation rings as well: what was appended before it was rung for in vain."""


class Notifications:
    """Subscribes to bells, and calls `ring` with each that has rung. Rings may get lost: someone has to sweep."""

    def __init__(self, redis: Redis, ring: Callable[[bytes], None]) -> None:
        self._wire = Wire(redis)
        self._ring = ring
        self._wanted: set[bytes] = set()
        self._changes: dict[bytes, bool] = {}
        """The bells to be subscribed to, or not any more."""
        self._changed = asyncio.Event()
        self._is_open = False
        self._listening = Dependent("new events are looked for once a second only")

    def subscribe(self, bell: bytes) -> None:
        """Once Redis has confirmed it, the bell rings for the first time."""
        self._wanted.add(bell)
        self._change(bell, wanted=True)

    def unsubscribe(self, bell: bytes) -> None:
        """It may ring once more."""
        self._wanted.discard(bell)
        self._change(bell, wanted=False)

    async def run(self) -> None:
        """Listens until it is cancelled. Without a connection it tries to make one, and nothing rings."""
        async with self._wire, asyncio.TaskGroup() as beside:
            beside.create_task(self._tell())
            while True:
                try:
                    await self._wire.connect()
                    await self._wire.check_role()
                    self._changes = dict.fromkeys(self._wanted, True)
                    self._changed.set()
                    self._is_open = True
                    await self._hear()
                except InfrastructureError as error:
                    self._listening.fails(error)
                self._is_open = False
                await self._wire.disconnect()
                await asyncio.sleep(_RETRY_SECONDS)

    def _change(self, bell: bytes, *, wanted: bool) -> None:
        # Behind what was wanted of it before: the two go out in that order.
        self._changes.pop(bell, None)
        self._changes[bell] = wanted
        self._changed.set()

    async def _tell(self) -> None:
        """Tells Redis which bells are wanted, and asks now and then whether it is still there."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PING_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            if self._is_open:
                with suppress(InfrastructureError):
                    await self._wire.send(self._commands())

    def _commands(self) -> bytes:
        changes, self._changes = self._changes, {}
        commands = [_PING]
        for command, wanted in (("UNSUBSCRIBE", False), ("SUBSCRIBE", True)):
            bells = [bell for bell, is_wanted in changes.items() if is_wanted is wanted]
            commands += (packed(command, *bells[start : start + _AT_ONCE]) for start in range(0, len(bells), _AT_ONCE))
        return b"".join(commands)

    async def _hear(self) -> None:
        while True:
            messages = await self._wire.hear()
            for message in messages:
                if isinstance(message, Exception):
                    raise refused(message, "SUBSCRIBE", *list(self._wanted)[:1])
                if message[0] in _RINGS:
                    self._ring(message[1])
            self._listening.works()
