"""`Clock`: the timer that all paced streams of a simulator share."""

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import TypeAlias

Wake: TypeAlias = Callable[[], None]


class Clock:
    """One timer for many functions. All functions that are due in the same millisecond are called together.

    A timer and a task switch for each piece would cost more than the piece. No function is called early. The precision
    is that of the event loop, about 1 ms.
    """

    __slots__ = ("_due", "_loop", "_slots", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: dict[int, list[Wake]] = {}
        self._due: list[int] = []
        """A heap of the keys of `_slots`."""
        self._timer: asyncio.TimerHandle | None = None

    def now_ms(self) -> float:
        """Return the time of the event loop in ms."""
        return round(self._loop.time() * 1000, 3)

    def at(self, due_ms: float, wake: Wake) -> None:
        """Call a function once, at a time.

        Args:
            due_ms: When to call it, by `now_ms`.
            wake: The function. It must not raise, because others are called after it.
        """
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
        # The time is read only once, so that streams that catch up are served up to this time, and then other tasks.
        now_ms = self.now_ms()
        while self._due and self._due[0] <= now_ms:
            for wake in self._slots.pop(heapq.heappop(self._due)):
                wake()
        if self._due and self._timer is None:
            self._set_timer()
