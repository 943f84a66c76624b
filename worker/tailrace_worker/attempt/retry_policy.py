"""`RetryPolicy`: after which errors a call is retried, and how long to wait before that."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import stamina

from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.attempt.plan import DEADLINES
from tailrace_worker.attempt.rate_limits import MAX_WAIT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The waits between calls, in seconds. Each wait is twice as long as the one before it, plus a random part."""

    first_wait_seconds: float = 0.1
    last_wait_seconds: float = 10.0
    """The longest wait before another call in the same attempt."""
    jitter_seconds: float = 0.4
    """The largest random part of a wait."""
    last_pause_seconds: float = 1.0
    """The longest wait between two attempts. It is short, because readers see an answer that stands still."""
    rate_limit_seconds: float = 1.0
    """How long all workers wait after a rate limit that names no time."""

    def tries(self, count: int, *, is_last: bool) -> AsyncIterator[stamina.Attempt]:
        """Return an iterator over the tries of a call. It ends early after an error that a retry cannot help.

        Args:
            count: How many tries there are, from 1.
            is_last: True if no fallback is left: only then does a rate limit lead to another try.
        """
        return aiter(
            stamina.retry_context(
                on=partial(self._wait, is_last=is_last),
                attempts=count,
                timeout=None,
                wait_initial=self.first_wait_seconds,
                wait_max=self.last_wait_seconds,
                wait_jitter=self.jitter_seconds,
            )
        )

    def pause_seconds(self, retries: int) -> float:
        """Return how long to wait before another attempt, in seconds.

        Args:
            retries: How many attempts in a row have broken off, from 1.
        """
        growing = self.first_wait_seconds * 2.0 ** (retries - 1) + random.uniform(0, self.jitter_seconds)  # noqa: S311
        return min(self.last_pause_seconds, growing)

    def _wait(self, error: Exception, *, is_last: bool) -> bool | float:
        """Return whether to try again, or after how many seconds to do so."""
        if not isinstance(error, ProviderError) or not error.retryable or error.code in DEADLINES:
            return False
        if error.code is FailureCode.PROVIDER_RATE_LIMITED and not is_last:
            return False
        seconds = error.retry_after_seconds
        if seconds is None:
            return True
        return seconds <= MAX_WAIT_SECONDS and seconds + random.uniform(0, self.jitter_seconds)  # noqa: S311
