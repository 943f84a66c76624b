"""Logs an outage of Redis: one line when it begins, one every 30 seconds, and one when it is over.

During an outage everything that uses Redis fails again and again, and a line for each failure would fill the log. A new
cause in the same outage is logged at once: an operator waiting for a restart must learn that a permission is missing.
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from redis import exceptions

from tailrace.broker.causes import reply_code
from tailrace.broker.connection import NotNow

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageLimits:
    """How often an outage is logged, and what is still part of it. Tests pass others."""

    again_seconds: float = 30.0
    """The time between two lines about the same causes."""
    forgotten_seconds: float = 5.0
    """For so long after its last failure something counts as failing. Later it has nothing to do, and does not try."""


class Outage:
    """What fails together while Redis is unavailable, and what the log has said of it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, limits: OutageLimits | None = None) -> None:
        """Start without failures.

        Args:
            clock: Returns the time in seconds, from any beginning.
            limits: The times that it keeps to; `None` for the defaults.
        """
        self.has_begun: bool = False
        """True from the first failure until everything works again."""
        self.limits: OutageLimits = limits or OutageLimits()
        """The times that it keeps to."""
        self._clock = clock
        # Threads renew leases.
        self._lock = Lock()
        self._failing: WeakKeyDictionary[Dependent, float] = WeakKeyDictionary()
        """When each one last failed."""
        self._since = self._told_at = 0.0
        self._told: set[str] = set()
        """The causes that were logged in this outage."""

    def fail(self, dependent: "Dependent", error: Exception) -> None:
        """Note a failure, and log it if it begins the outage, has a new cause, or the last line is 30 s old.

        Args:
            dependent: What failed.
            error: Why it failed.
        """
        with self._lock:
            now, cause = self._clock(), _cause(error)
            if not self.has_begun:
                self.has_begun = True
                self._since = self._told_at = now
                self._told = {cause}
                _logger.warning("%s: %s", dependent.what, error)
            elif cause not in self._told or now - self._told_at >= self.limits.again_seconds:
                self._told_at = now
                self._told.add(cause)
                _logger.warning("%s, for %.0f s now: %s", dependent.what, now - self._since, error)
            self._failing[dependent] = now

    def end(self, dependent: "Dependent") -> None:
        """Note that something works again, and log the end of the outage if nothing else fails.

        Args:
            dependent: What works again.
        """
        with self._lock:
            now = self._clock()
            self._failing.pop(dependent, None)
            for other, failed_at in list(self._failing.items()):
                # It has not tried again since: it has nothing to do.
                if now - failed_at > self.limits.forgotten_seconds:
                    del self._failing[other]
            if self.has_begun and not self._failing:
                self.has_begun = False
                _logger.warning("Redis works again, after %.1f s", now - self._since)

    def forget(self) -> None:
        """Start again without failures, and log nothing, so that a test begins without the failures of another."""
        with self._lock:
            self._failing.clear()
            self.has_begun = False


PROCESS_OUTAGE: Final = Outage()
"""Shared by everything in this process, because all of it usually uses the same Redis."""


class Dependent:
    """An operation that uses Redis again and again."""

    def __init__(self, what: str, outage: Outage = PROCESS_OUTAGE) -> None:
        """Start without a failure.

        Args:
            what: What does not happen without Redis, as a clause for the log.
            outage: The outage that it shares with others.
        """
        self.what = what
        self._outage = outage

    def fails(self, error: Exception) -> None:
        """Note that the operation failed.

        Args:
            error: Why it failed.
        """
        self._outage.fail(self, error)

    def works(self) -> None:
        """Note that the operation succeeded."""
        # Called for every batch: a dependent that did not fail needs no lock.
        if self._outage.has_begun:
            self._outage.end(self)


def _cause(error: BaseException) -> str:
    """Return a name for the cause of an error, the same for all commands and connections that meet the cause."""
    for each in _chain(error):
        match each:
            case ssl.SSLError() | socket.gaierror() | exceptions.AuthenticationError() | exceptions.InvalidResponse():
                return type(each).__name__
            case NotNow(__cause__=None):
                return "READONLY"
            case exceptions.ResponseError() | exceptions.BusyLoadingError():
                return reply_code(each)
            case _:
                pass
    return "unreachable"


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
