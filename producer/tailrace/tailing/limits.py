"""The times and sizes that the reader keeps to. The defaults suit every deployment; tests pass others."""

from dataclasses import dataclass, field

from tailrace.broker.client import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleLimits:
    """When a group that no notification was heard for is read all the same."""

    sweep_seconds: float = 1.0
    """For how long a group stays idle before it is read: a notification may have been lost."""
    sweep_interval_seconds: float = 0.05
    """The least time between two sweeps. Groups that became idle one after the other share a read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationLimits:
    """When the connection that hears notifications is checked, and made anew."""

    ping_seconds: float = 1.0
    """How often the connection is checked: for so long nobody notices that it is dead."""
    first_retry_seconds: float = FIRST_RETRY_SECONDS
    last_retry_seconds: float = LAST_RETRY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLimits:
    """How long the reader waits for what may still come."""

    first_retry_seconds: float = FIRST_RETRY_SECONDS
    """The pause after the second failed connection; the first retry is at once."""
    last_retry_seconds: float = LAST_RETRY_SECONDS
    silence_seconds: float = 30.0
    """After so long without an entry the reader checks whether anyone can still run the job."""
    restore_seconds: float = 5.0
    """For so long after an outage a stream that is gone may come back: its worker makes it anew."""
    grace_seconds: float = 1.0
    """How long a cursor may be ahead of its stream. A Redis that was killed comes back without its last second, and
    publishers send that again once they are connected."""
    woken_at_once: int = 64
    """How many tails of one job run at a time: a thousand that wake together would set off the garbage collector."""
    read_bytes: int = 16_777_216
    """How many bytes one read may bring, twice what the schedule plans for. A read that brings more is broken off."""
    snapshot_bytes: int = 4_194_304
    """How many bytes of entries a snapshot has at most: half of what an answer may have by default."""
    schedule: ScheduleLimits = field(default_factory=ScheduleLimits)
    notifications: NotificationLimits = field(default_factory=NotificationLimits)
