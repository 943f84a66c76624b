"""`Availability`: whether Redis answers the reader, since when it does not, and when to try again."""

import math
import time

from tailrace.broker.backoff import Backoff
from tailrace.tailing.limits import ReaderLimits


class Availability:
    """Tracks the outages of one reader."""

    def __init__(self, limits: ReaderLimits) -> None:
        """Start without an outage.

        Args:
            limits: The pauses between retries, and for how long streams may come back.
        """
        self._limits = limits
        self._backoff = Backoff(first_seconds=limits.first_retry_seconds, last_seconds=limits.last_retry_seconds)
        self._away_since: float | None = None
        self._reconnected_at = -math.inf

    @property
    def is_away(self) -> bool:
        """True from the first failure to the next success."""
        return self._away_since is not None

    @property
    def may_restore(self) -> bool:
        """True while a stream that is gone may come back: its worker makes anew what a restarted Redis has lost."""
        return time.monotonic() - self._reconnected_at < self._limits.restore_seconds

    def away_seconds(self, *, since: float) -> float:
        """Return for how much of the time since a moment (monotonic clock) Redis has been away."""
        return 0 if self._away_since is None else time.monotonic() - max(self._away_since, since)

    def next_retry_seconds(self) -> float:
        """Return the pause before the next retry."""
        return self._backoff.next_seconds()

    def begin_outage(self, *, asked_at: float) -> None:
        """Note that Redis has been away since a question (monotonic clock) that had no answer."""
        self._away_since = asked_at

    def reconnect(self) -> None:
        """Note that a connection was made. After a failure it may lead to a restarted Redis."""
        if self._away_since is not None:
            self._reconnected_at = time.monotonic()

    def succeed(self) -> None:
        """Note that Redis has answered."""
        if self._away_since is not None:
            self._away_since = None
            self._backoff.reset()
