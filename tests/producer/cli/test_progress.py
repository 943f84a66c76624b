"""The status line."""

import pytest

from tailrace.cli.display.progress import Progress
from tailrace.events import Delta, Queued, Reasoning, Started, ToolCall

WIDE = 200


class Clock:
    """Unix seconds, as the test has it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(clock)


def started(at: float, *, continues: bool = False) -> Started:
    return Started(
        at=round(at * 1000), attempt=1, provider="openai", model="m", worker="w", reason="x", continues=continues
    )


def line(progress: Progress, width: int = WIDE) -> str:
    return progress.line(width).plain


def test_before_the_first_token_the_status_line_says_what_the_job_waits_for(progress: Progress, clock: Clock) -> None:
    assert line(progress)[1:] == " waiting · 0 s"
    progress.add(Queued(at=998_000, queue="default"))
    assert line(progress)[1:] == " queued · 2 s"
    progress.add(started(999.0))
    clock.now = 1_003.0
    assert line(progress)[1:] == " openai m · 4 s"


def test_the_spinner_turns(progress: Progress, clock: Clock) -> None:
    first = line(progress)[0]
    clock.now += 0.1
    assert line(progress)[0] != first


def test_a_clock_that_is_ahead_of_ours_does_not_stop_the_time(progress: Progress, clock: Clock) -> None:
    progress.add(started(2_000.0))
    assert line(progress).endswith("· 0 s")
    clock.now += 3
    assert line(progress).endswith("· 3 s")


def test_tokens_are_estimated_as_a_quarter_of_the_bytes(progress: Progress) -> None:
    progress.add(started(1_000.0))
    progress.add(Reasoning(text="x" * 8))
    progress.add(Delta(text="水水水水"))
    progress.add(ToolCall(index=0, arguments="{}"))
    assert progress.tokens == 6
    assert line(progress) == "~6 tokens · 0 s"


def test_the_rate_is_measured_over_the_last_seconds(progress: Progress, clock: Clock) -> None:
    progress.add(started(990.0))
    # Read from the past, all at once.
    progress.add(Delta(text="x" * 40_000))
    assert "tokens/s" not in line(progress)
    for _ in range(20):
        clock.now += 0.5
        progress.add(Delta(text="x" * 40))
        assert "~20 tokens/s" in line(progress)
    for _ in range(20):
        clock.now += 0.5
        line(progress)
    assert "~0 tokens/s" in line(progress)


def test_a_new_attempt_counts_from_zero_unless_it_continues(progress: Progress) -> None:
    progress.add(Delta(text="x" * 40))
    progress.add(started(1_000.0, continues=True))
    assert progress.tokens == 10
    progress.add(started(1_000.0))
    assert progress.tokens == 0


@pytest.mark.parametrize(
    ("tokens", "bar"),
    [(1, "────────── ~1% of 100"), (50, "━━━━━───── ~50% of 100"), (400, "━━━━━━━━━━ ~100% of 100")],
)
def test_the_share_of_the_limit_is_a_bar(tokens: int, bar: str, progress: Progress) -> None:
    progress.max_output_tokens = 100
    progress.add(Delta(text="x" * 4 * tokens))
    assert line(progress).endswith(bar)


@pytest.mark.parametrize("width", range(1, 60))
def test_parts_of_the_status_line_that_do_not_fit_are_dropped_from_the_end(width: int, progress: Progress) -> None:
    progress.max_output_tokens = 100
    progress.add(Delta(text="x" * 40))
    whole = line(progress)
    shown = line(progress, width)
    assert len(shown) <= width
    assert whole.startswith(shown.removesuffix("…"))
    assert shown.endswith("…") == (width < len("~10 tokens"))
