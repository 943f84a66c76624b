"""When a worker may take over what others hold."""

import time

import pytest

from tailrace_worker.queueing.takeover_gate import TakeoverGate


class Clock:
    """The worker's clock, and a Redis whose clock is ahead of it."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    @property
    def server_ms(self) -> int:
        return round(self.seconds * 1000) + 5_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.seconds)
    return clock


@pytest.fixture
def takeover_gate(clock: Clock) -> TakeoverGate:
    """A connection that has stood for a lease, and tells the time every second."""
    takeover_gate = TakeoverGate(lease_seconds=3)
    takeover_gate.begin()
    for _ in range(3):
        takeover_gate.tell(clock.server_ms)
        clock.seconds += 1
    return takeover_gate


def test_nobody_takes_over_before_the_connection_has_stood_for_a_lease(
    clock: Clock, takeover_gate: TakeoverGate
) -> None:
    assert takeover_gate.takes_over_until
    takeover_gate.begin()
    clock.seconds += 2.5
    takeover_gate.tell(clock.server_ms)
    assert not takeover_gate.takes_over_until
    clock.seconds += 0.5
    assert takeover_gate.takes_over_until


def test_a_claim_that_redis_reads_most_of_a_lease_late_takes_nothing_over(
    clock: Clock, takeover_gate: TakeoverGate
) -> None:
    assert takeover_gate.takes_over_until == clock.server_ms + 1_800


def test_after_a_reply_that_came_late_a_lease_has_to_pass_again(clock: Clock, takeover_gate: TakeoverGate) -> None:
    takeover_gate.answered(after_seconds=2.7, block_seconds=1)
    assert takeover_gate.takes_over_until
    takeover_gate.answered(after_seconds=2.9, block_seconds=1)
    assert not takeover_gate.takes_over_until
    clock.seconds += 3
    assert takeover_gate.takes_over_until


def test_after_a_jump_of_the_servers_clock_a_lease_has_to_pass_again(clock: Clock, takeover_gate: TakeoverGate) -> None:
    takeover_gate.tell(clock.server_ms + 60_000)
    assert not takeover_gate.takes_over_until
