"""`Timing`: how long an answer took, with a verdict on each measure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from tailrace.events import Cancelled, Ending
from tailrace.settings import Settings


class Verdict(StrEnum):
    """How a measure compares with the two thresholds that the settings have for it."""

    GOOD = "good"
    """At least as good as the threshold for `good`."""
    WARN = "warn"
    """Between the two thresholds."""
    BAD = "bad"
    """Worse than the threshold for `bad`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The measures of a job that ended; `None` for each measure that is not known."""

    queued_ms: int | None
    """The time from the enqueue to the beginning of the attempt that ended, in ms."""
    ttft_ms: int | None
    """The time from the call of the provider to its first token, in ms."""
    duration_ms: int | None
    """The time from the beginning of the attempt to its ending, in ms."""
    tokens_per_second: float | None
    """The output tokens divided by the time from the first token to the ending."""
    cancel_ms: int | None
    """The time from the request to cancel to the ending, in ms. Streams do not hold the time of the request, so only
    the handle that requested the cancel knows it."""
    verdicts: dict[str, Verdict]
    """The verdicts by the names of the measures, for the measures that are known and have thresholds."""

    @classmethod
    def of(cls, ending: Ending, settings: Settings, *, cancel_requested_at: int | None = None) -> Self:
        """Read the measures of an ending, and compare them with the thresholds of the settings.

        Args:
            ending: The ending of the job.
            settings: The thresholds: `ttft_good_ms`, `ttft_bad_ms` and so on.
            cancel_requested_at: When the job was asked to stop, by the Redis server's clock, in Unix ms.

        Returns:
            The measures, with a verdict for each that is known and has thresholds.
        """
        cancel_ms = None
        if isinstance(ending, Cancelled) and cancel_requested_at is not None:
            cancel_ms = max(0, ending.at - cancel_requested_at)
        verdicts = {
            "ttft_ms": _of_time(ending.ttft_ms, settings.ttft_good_ms, settings.ttft_bad_ms),
            "tokens_per_second": _of_rate(
                ending.tokens_per_second, settings.rate_good_tokens_per_second, settings.rate_bad_tokens_per_second
            ),
            "duration_ms": _of_time(ending.duration_ms, settings.duration_good_ms, settings.duration_bad_ms),
            "cancel_ms": _of_time(cancel_ms, settings.cancel_good_ms, settings.cancel_bad_ms),
        }
        return cls(
            queued_ms=ending.queued_ms,
            ttft_ms=ending.ttft_ms,
            duration_ms=ending.duration_ms,
            tokens_per_second=ending.tokens_per_second,
            cancel_ms=cancel_ms,
            verdicts={measure: verdict for measure, verdict in verdicts.items() if verdict},
        )


def _of_time(value: float | None, good: float, bad: float) -> Verdict | None:
    if value is None:
        return None
    if value <= good:
        return Verdict.GOOD
    return Verdict.WARN if value <= bad else Verdict.BAD


def _of_rate(value: float | None, good: float, bad: float) -> Verdict | None:
    # A higher rate is better and a shorter time is better: with the signs changed, the comparison is the same.
    return None if value is None else _of_time(-value, -good, -bad)
