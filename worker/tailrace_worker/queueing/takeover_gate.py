"""Since when Redis has been answering: after an outage, those who are well have one lease to renew theirs."""

import time
from typing import Final

from tailrace.broker.client import ms

_STALL: Final = 0.6
"""The part of a lease for which Redis may be silent without an outage: leases are renewed three times a lease, so that
none runs out in that time whose holder is well, and what is left of it suffices for a renewal."""


class Standing:
    """What a worker knows of Redis by its replies, and until when it may therefore take over leases that ran out.

    A connection that was made anew, a reply that came late, a refusal and a clock that jumped are outages alike: in
    each of them leases may have run out whose holders are well.
    """

    def __init__(self, *, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._stall_seconds = lease_seconds * _STALL
        self._since = 0.0
        self._server_ms = 0
        self._told_at = 0.0

    def begin(self) -> None:
        """The connection was made just now."""
        self._since = time.monotonic()
        self._server_ms = 0

    def failed(self, at: float) -> None:
        """Redis refused something at this time (`time.monotonic`), or could not be reached for it.

        A server that refuses writes lets nobody renew a lease either.
        """
        self._since = max(self._since, at)

    def answered(self, *, after_seconds: float, block_seconds: float) -> None:
        """A reply has come, to a command that was to block for so long at most."""
        if after_seconds > block_seconds + self._stall_seconds:
            self._since = time.monotonic()

    def tell(self, server_ms: int) -> None:
        """A claim was made at this time of the server."""
        if self._server_ms and server_ms > self._latest():
            self._since = time.monotonic()
        self._server_ms = server_ms
        self._told_at = time.monotonic()

    @property
    def takes_over_until(self) -> int:
        """The server's time (ms) until which a claim that is sent now may take over; 0: it may not.

        Redis may stop between the sending and the claim, and the leases run out in that time.
        """
        if not self._server_ms or time.monotonic() - self._since < self._lease_seconds:
            return 0
        return self._latest()

    def _latest(self) -> int:
        return self._server_ms + ms(time.monotonic() - self._told_at + self._stall_seconds)
