"""The notification channels of all tailed jobs, heard on one connection."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis

from tailrace.broker.backoff import Backoff
from tailrace.broker.client import refused
from tailrace.broker.outage import Dependent
from tailrace.broker.wire import Wire, packed
from tailrace.errors import InfrastructureError
from tailrace.tailing.limits import NotificationLimits

_PING: Final = packed("PING")
_CHANNELS_AT_ONCE: Final = 1_000
_NOTIFYING: Final = frozenset({b"message", b"subscribe"})
"""A confirmed subscription notifies as well: nobody heard of entries that were appended before it."""


class Notifications:
    """Subscribes to channels, and reports each notification.

    A notification may get lost, so the caller has to read now and then without one.
    """

    def __init__(self, redis: Redis, on_notify: Callable[[bytes], None], limits: NotificationLimits) -> None:
        """Prepare a connection; `run` opens it.

        Args:
            redis: The client whose server notifies.
            on_notify: Called with the channel of each notification.
            limits: When the connection is checked and made anew.
        """
        self.is_listening: bool = False
        """True while the connection is open, as far as is known."""
        self._wire = Wire(redis)
        self._on_notify = on_notify
        self._limits = limits
        self._wanted: set[bytes] = set()
        self._changes: dict[bytes, bool] = {}
        """The channels to subscribe to (True), or to unsubscribe from."""
        self._changed = asyncio.Event()
        self._listening = Dependent("new events are looked for once a second only")

    def subscribe(self, channel: bytes) -> None:
        """Listen to a channel. Its first notification comes once Redis has confirmed the subscription."""
        self._wanted.add(channel)
        self._change(channel, wanted=True)

    def unsubscribe(self, channel: bytes) -> None:
        """Stop listening to a channel. One more notification may come."""
        self._wanted.discard(channel)
        self._change(channel, wanted=False)

    async def run(self) -> None:
        """Listen until cancelled. While Redis is away, nothing is heard, and the connection is tried again."""
        backoff = Backoff(first_seconds=self._limits.first_retry_seconds, last_seconds=self._limits.last_retry_seconds)
        async with self._wire, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_changes())
            while True:
                try:
                    await self._wire.connect()
                    await self._wire.check_role()
                    self._changes = dict.fromkeys(self._wanted, True)
                    self._changed.set()
                    self.is_listening = True
                    await self._hear(backoff)
                except InfrastructureError as error:
                    self._listening.fails(error)
                self.is_listening = False
                await self._wire.disconnect()
                await asyncio.sleep(backoff.next_seconds())

    def _change(self, channel: bytes, *, wanted: bool) -> None:
        # An earlier change of the same channel would be sent in the wrong order.
        self._changes.pop(channel, None)
        self._changes[channel] = wanted
        self._changed.set()

    async def _send_changes(self) -> None:
        """Tell Redis which channels are wanted, and ask regularly whether it is still there."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.ping_seconds):
                    await self._changed.wait()
            self._changed.clear()
            if self.is_listening:
                with suppress(InfrastructureError):
                    await self._wire.send(self._commands())

    def _commands(self) -> bytes:
        changes, self._changes = self._changes, {}
        commands = [_PING]
        for command, wanted in (("UNSUBSCRIBE", False), ("SUBSCRIBE", True)):
            channels = [channel for channel, is_wanted in changes.items() if is_wanted is wanted]
            commands += (
                packed(command, *channels[start : start + _CHANNELS_AT_ONCE])
                for start in range(0, len(channels), _CHANNELS_AT_ONCE)
            )
        return b"".join(commands)

    async def _hear(self, backoff: Backoff) -> None:
        while True:
            messages = await self._wire.hear()
            for message in messages:
                if isinstance(message, Exception):
                    raise refused(message, "SUBSCRIBE", *list(self._wanted)[:1])
                if message[0] in _NOTIFYING:
                    self._on_notify(message[1])
            self._listening.works()
            backoff.reset()
