"""`KeepAliveTimer`: wakes a tail to which nothing came for a while."""

import asyncio
from collections.abc import Callable


class KeepAliveTimer:
    """One timer of the event loop for a tail. An event only moves the time at which it is due, and not the timer."""

    __slots__ = ("_due_at", "_loop", "_seconds", "_timer", "_wake")

    def __init__(self, seconds: float, wake: Callable[[], None]) -> None:
        """Start the time.

        Args:
            seconds: After how many seconds it is due.
            wake: Called when it is due, if it was armed.
        """
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._due_at: float = 0.0
        self.restart()

    @property
    def is_due(self) -> bool:
        """True once the time is over."""
        return self._loop.time() >= self._due_at

    def restart(self) -> None:
        """Start the time again: something came."""
        self._due_at = self._loop.time() + self._seconds

    def arm(self) -> None:
        """Wake the tail when it is due."""
        if self._timer is None:
            self._timer = self._loop.call_at(self._due_at, self._fire)

    def cancel(self) -> None:
        """Wake nobody."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        if self.is_due:
            self._wake()
        else:
            self.arm()
