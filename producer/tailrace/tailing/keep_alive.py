"""`KeepAliveTimer`: wakes a tail after a silence."""

import asyncio
from collections.abc import Callable


class KeepAliveTimer:
    """One timer of the event loop for a tail. An event moves only the due time, and does not set the timer again."""

    __slots__ = ("_due_at", "_loop", "_seconds", "_timer", "_wake")

    def __init__(self, seconds: float, wake: Callable[[], None]) -> None:
        """Set the due time.

        Args:
            seconds: The silence after which the timer is due, in seconds.
            wake: Called when the timer is due, if it was armed.
        """
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._due_at: float = 0.0
        self.restart()

    @property
    def is_due(self) -> bool:
        """True once the due time has passed."""
        return self._loop.time() >= self._due_at

    def restart(self) -> None:
        """Move the due time, because an event arrived."""
        self._due_at = self._loop.time() + self._seconds

    def arm(self) -> None:
        """Let the timer wake the tail when it is due."""
        if self._timer is None:
            self._timer = self._loop.call_at(self._due_at, self._fire)

    def cancel(self) -> None:
        """Stop the timer, so that it wakes nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        if self.is_due:
            self._wake()
        else:
            self.arm()
