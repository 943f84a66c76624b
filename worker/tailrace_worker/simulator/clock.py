"""The clock that all paced streams of a simulator share."""

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import TypeAlias

Wake: TypeAlias = Callable[[], None]


class Clock:
    """Wakes many with one timer: all that are due in the same millisecond are woken together.

    A timer and a task switch for every piece would cost more than the piece. Nobody is woken early; the precision is
    that of the event loop, about a millisecond.
    """

    __slots__ = ("_due", "_loop", "_slots", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: dict[int, list[Wake]] = {}
        self._due: list[int] = []
        """A heap of the keys of `_slots`."""
        self._timer: asyncio.TimerHandle | None = None

    def now_ms(self) -> float:
        """The time of the event loop."""
        return round(self._loop.time() * 1000, 3)

    def at(self, due_ms: float, wake: Wake) -> None:
        """Calls `wake` once. It must not raise: others wait behind it."""
        slot_ms = math.ceil(due_ms)
        slot = self._slots.get(slot_ms)
        if slot is not None:
            slot.append(wake)
            return
        self._slots[slot_ms] = [wake]
        heapq.heappush(self._due, slot_ms)
        if self._due[0] == slot_ms:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due[0] / 1000, self._ring)

    def _ring(self) -> None:
        self._timer = None
        # Read once: streams that catch up are woken until this time and no later, then the loop gets its turn.
        now_ms = self.now_ms()
        while self._due and self._due[0] <= now_ms:
            for wake in self._slots.pop(heapq.heappop(self._due)):
                wake()
        if self._due and self._timer is None:
            self._set_timer()
