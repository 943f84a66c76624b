"""The pauses between retries."""

from tailrace.broker.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_last() -> None:
    backoff = Backoff(first_seconds=0.1, last_seconds=0.5)
    assert [backoff.next_seconds() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_a_success_starts_the_pauses_again() -> None:
    backoff = Backoff(first_seconds=0.1, last_seconds=0.5)
    for _ in range(3):
        backoff.next_seconds()
    backoff.reset()
    assert backoff.next_seconds() == 0.1


def test_equal_limits_make_equal_pauses() -> None:
    backoff = Backoff(first_seconds=3_600, last_seconds=3_600)
    assert [backoff.next_seconds(), backoff.next_seconds()] == [3_600, 3_600]
