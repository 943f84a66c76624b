"""What is told of a Redis that is away: once when it goes, every 30 seconds, and once when it is back.

All that a process does with Redis fails together, and again and again: a line for each would fill the log.
"""

import logging
import time
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

_logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 30.0
_FORGOTTEN_SECONDS: Final = 5.0


class Dependent:
    """Something that needs Redis, again and again; `what` says what does not happen without it."""

    def __init__(self, what: str) -> None:
        self.what = what

    def fails(self, error: Exception) -> None:
        """It could not be done."""
        _outage.fail(self, error)

    def works(self) -> None:
        """It was done."""
        # Called for every batch: what did not fail needs no lock.
        if _outage.has_begun:
            _outage.end(self)


class _Outage:
    def __init__(self) -> None:
        self.has_begun = False
        # Threads renew leases.
        self._lock = Lock()
        self._failing: WeakKeyDictionary[Dependent, float] = WeakKeyDictionary()
        """When each has failed last."""
        self._since = self._told_at = 0.0

    def fail(self, dependent: Dependent, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            if not self.has_begun:
                self.has_begun = True
                self._since = self._told_at = now
                _logger.warning("%s: %s", dependent.what, error)
            elif now - self._told_at >= _AGAIN_SECONDS:
                self._told_at = now
                _logger.warning("%s, for %.0f s now: %s", dependent.what, now - self._since, error)
            self._failing[dependent] = now

    def end(self, dependent: Dependent) -> None:
        with self._lock:
            now = time.monotonic()
            self._failing.pop(dependent, None)
            for other, failed_at in list(self._failing.items()):
                # It has had no reason to try again.
                if now - failed_at > _FORGOTTEN_SECONDS:
                    del self._failing[other]
            if self.has_begun and not self._failing:
                self.has_begun = False
                _logger.warning("Redis does all again, after %.1f s", now - self._since)


_outage: Final = _Outage()
