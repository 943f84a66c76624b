"""Decides when a worker may take over jobs: after an outage of Redis, healthy workers first get one lease to renew."""

import time
from typing import Final

from tailrace.broker.client import ms

_STALL: Final = 0.6
"""The part of a lease for which Redis may be silent before it counts as an outage. As a lease is renewed three times
in its length, a healthy worker's lease has two thirds left. It outlasts this silence, with time for a renewal."""


class TakeoverGate:
    """What the replies of Redis tell a worker: since when Redis has answered, and until when it may take over jobs.

    A new connection, a late reply, a refusal and a jump of the server's clock all count as outages: in each of them the
    leases of healthy workers may have run out.
    """

    def __init__(self, *, lease_seconds: float) -> None:
        """Start before the first connection.

        Args:
            lease_seconds: The length of a lease.
        """
        self._lease_seconds = lease_seconds
        self._stall_seconds = lease_seconds * _STALL
        self._since = 0.0
        self._server_ms = 0
        self._told_at = 0.0

    def begin(self) -> None:
        """Begin a new connection, which counts as an outage."""
        self._since = time.monotonic()
        self._server_ms = 0

    def failed(self, at: float) -> None:
        """Count an outage, because Redis refused a command or could not be reached.

        A server that refuses writes refuses the renewals of all workers.

        Args:
            at: When that happened (`time.monotonic`).
        """
        self._since = max(self._since, at)

    def answered(self, *, after_seconds: float, block_seconds: float) -> None:
        """Count an outage if a reply came too late.

        Args:
            after_seconds: How long after its command the reply came.
            block_seconds: How long the command was allowed to block.
        """
        if after_seconds > block_seconds + self._stall_seconds:
            self._since = time.monotonic()

    def tell(self, server_ms: int) -> None:
        """Learn the server's clock from a claim, and count an outage if the clock has jumped.

        Args:
            server_ms: The server's time of the claim, in Unix ms.
        """
        if self._server_ms and server_ms > self._latest():
            self._since = time.monotonic()
        self._server_ms = server_ms
        self._told_at = time.monotonic()

    @property
    def takes_over_until(self) -> int:
        """The server's time, in Unix ms, until which a claim that is sent now may take over jobs; 0 if it may not.

        The limit is needed because Redis may stop after the claim was sent, and leases may run out before it goes on.
        """
        if not self._server_ms or time.monotonic() - self._since < self._lease_seconds:
            return 0
        return self._latest()

    def _latest(self) -> int:
        return self._server_ms + ms(time.monotonic() - self._told_at + self._stall_seconds)
