"""How long an answer took, and whether that is good."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from tailrace.events import Cancelled, Ending
from tailrace.settings import Settings


class Verdict(StrEnum):
    """What a person who waits thinks of a measure."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The measures of an ending; `None` where there was nothing to measure."""

    queued_ms: int | None
    """From enqueue to the beginning of the attempt that ended."""
    ttft_ms: int | None
    """From the provider call to its first token."""
    duration_ms: int | None
    """From the beginning of the attempt to its ending."""
    tokens_per_second: float | None
    """Output tokens over the time from the first token to the ending."""
    cancel_ms: int | None
    """From the request to cancel to the ending; the stream does not hold the one: known to who requested it."""
    verdicts: dict[str, Verdict]
    """By the name of the measure, for those that are known and have thresholds."""

    @classmethod
    def of(cls, ending: Ending, settings: Settings, *, cancel_requested_at: int | None = None) -> Self:
        """Reads an ending. `cancel_requested_at` is in Unix ms of the Redis server, as `at` of the ending is."""
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
    # More is better: the scale of times, upside down.
    return None if value is None else _of_time(-value, -good, -bad)
