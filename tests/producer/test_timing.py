"""How long an answer took, and whether that is good."""

import pytest

from tailrace import Answer, InvalidSettings, Settings
from tailrace.events import Cancelled, Completed, Delta
from tailrace.timing import Timing, Verdict


def completed(**measures: float) -> Completed:
    return Completed(at=2, finish_reason="stop", **measures)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("measure", "value", "verdict"),
    [
        ("ttft_ms", 500, "good"),
        ("ttft_ms", 501, "warn"),
        ("ttft_ms", 1_000, "warn"),
        ("ttft_ms", 1_001, "bad"),
        ("tokens_per_second", 50.0, "good"),
        ("tokens_per_second", 49.9, "warn"),
        ("tokens_per_second", 20.0, "warn"),
        ("tokens_per_second", 19.9, "bad"),
        ("duration_ms", 10_000, "good"),
        ("duration_ms", 10_001, "warn"),
        ("duration_ms", 30_000, "warn"),
        ("duration_ms", 30_001, "bad"),
    ],
)
def test_a_measure_is_judged_by_its_thresholds(measure: str, value: float, verdict: str) -> None:
    timing = Timing.of(completed(**{measure: value}), Settings())
    assert timing.verdicts == {measure: verdict}
    assert getattr(timing, measure) == value


@pytest.mark.parametrize(("cancel_ms", "verdict"), [(-3, "good"), (100, "good"), (101, "warn"), (501, "bad")])
def test_a_cancel_is_timed_from_its_request(cancel_ms: int, verdict: str) -> None:
    timing = Timing.of(Cancelled(at=10_000 + cancel_ms), Settings(), cancel_requested_at=10_000)
    assert timing.cancel_ms == max(0, cancel_ms)
    assert timing.verdicts == {"cancel_ms": verdict}


def test_what_was_not_measured_has_no_verdict() -> None:
    timing = Timing.of(completed(queued_ms=9), Settings(), cancel_requested_at=1)
    assert (timing.queued_ms, timing.ttft_ms, timing.cancel_ms, timing.verdicts) == (9, None, None, {})


def test_an_answer_has_a_timing_once_it_has_ended() -> None:
    answer = Answer(Settings())
    answer.add(Delta(text="Hi"))
    before = answer.timing
    answer.add(completed(ttft_ms=80))
    assert before is None
    assert answer.timing is not None
    assert (answer.timing.ttft_ms, answer.timing.verdicts) == (80, {"ttft_ms": Verdict.GOOD})


def test_the_thresholds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_TTFT_GOOD_MS", "5")
    monkeypatch.setenv("TAILRACE_TTFT_BAD_MS", "10")
    answer = Answer()
    answer.add(completed(ttft_ms=80))
    assert answer.timing is not None
    assert answer.timing.verdicts == {"ttft_ms": Verdict.BAD}


@pytest.mark.parametrize(
    ("good", "bad", "variable"),
    [
        ({"ttft_good_ms": 10}, {"ttft_bad_ms": 9}, "TAILRACE_TTFT_BAD_MS"),
        ({"rate_good_tokens_per_second": 9}, {"rate_bad_tokens_per_second": 10}, "TAILRACE_RATE_BAD_TOKENS_PER_SECOND"),
    ],
)
def test_bad_is_never_better_than_good(good: dict[str, float], bad: dict[str, float], variable: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"{variable}: .*better than"):
        Settings.read(**good, **bad)
