"""Streams of events as jobs have them, for whatever reads them."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tailrace.cursor import EntryId
from tailrace.encoders.restarts import Restarts
from tailrace.events import (
    Box,
    Cancelled,
    Citation,
    Completed,
    Delta,
    Event,
    Failed,
    FinishReason,
    Gap,
    Notice,
    Queued,
    Reasoning,
    Refusal,
    Started,
    StreamEvent,
    ToolCall,
)

JOB: Final = "job_0123456789-ABCDEFG"

unhurried: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests with these streams, which take a few milliseconds each to be made."""

_ARGUMENTS: Final = [
    "",
    "{",
    "}",
    "\n",
    '"city": ',
    '"Köln\u2028"',
    "1",
    "NaN",
    '{"__proto__": 1}',
    '{"a": [1e999]}\r\n',
]
_words: Final = st.text('ab :{\r\n\\"\0é🌊', max_size=6) | st.sampled_from(
    ["Hello, ", "\r\n\n", "data: x", "é🌊", "</script>", "\\\\n\u2028"]
)
_count: Final = st.none() | st.integers(0, 2**53)
_box: Final = st.builds(
    Box,
    **{side: st.floats(0, 1000) for side in ("x1", "y1", "x2", "y2")},
    label=st.none() | _words,
    start=st.integers(0, 9),
    end=st.integers(9, 99),
    scale=st.none() | st.just(1000),
)
_said: Final[st.SearchStrategy[StreamEvent]] = st.one_of(
    st.builds(Delta, text=_words),
    st.builds(Delta, text=_words),
    st.builds(Reasoning, text=_words, signature=st.none() | st.none() | _words.filter(bool)),
    st.builds(Refusal, text=_words),
    st.builds(ToolCall, index=st.integers(0, 2), arguments=st.sampled_from(_ARGUMENTS)),
    st.builds(ToolCall, index=st.integers(0, 2), arguments=st.sampled_from(_ARGUMENTS)),
    _box,
    st.builds(
        Citation,
        source=st.sampled_from(["web", "document", "search_result", "file"]),
        **dict.fromkeys(("url", "title", "quote"), st.none() | _words),
        **dict.fromkeys(("start", "end", "source_start"), st.none() | st.integers(0, 99)),
        unit=st.sampled_from([None, "pages", "chars"]),
    ),
    st.builds(Notice, code=_words, message=_words),
)
_USED: Final[dict[str, st.SearchStrategy[Any]]] = {
    "at": st.integers(0, 2**53),
    **dict.fromkeys(("input_tokens", "output_tokens", "reasoning_tokens", "ttft_ms", "duration_ms"), _count),
    "tokens_per_second": st.none() | st.floats(0, 1e9),
    "model": st.none() | _words,
}
_ending: Final[st.SearchStrategy[StreamEvent]] = st.one_of(
    st.builds(
        Completed,
        finish_reason=st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal"]),
        **_USED,
    ),
    st.builds(Failed, code=_words, message=_words, **_USED),
    st.builds(Cancelled, reason=_words, **_USED),
)


def with_ids(said: Iterable[Event], *, attempt: int = 1, first: int = 1) -> list[Event]:
    """The same events with the ids that they would have in a stream."""
    return [dataclasses.replace(event, id=EntryId(attempt, first + at)) for at, event in enumerate(said)]


def started(attempt: int = 1, *, continues: bool = False) -> Started:
    """The first event of an attempt, at 7 s."""
    return Started(at=7_000, attempt=attempt, provider="p", model="m", worker="w:1", continues=continues)


def completed(finish_reason: FinishReason = "stop", **fields: Any) -> Completed:
    """The ending of a job, at 9 s."""
    return Completed(at=9_000, finish_reason=finish_reason, **fields)


@st.composite
def job_streams(draw: st.DrawFn, *, has_ended: bool = True) -> list[Event]:
    """The events of a job, to the ending.

    Several attempts, of which some continue the one before, and gaps, in which a `started` may be lost.

    Args:
        draw: Hypothesis's.
        has_ended: Whether the last event is the ending.
    """
    events: list[Event] = [Queued(id=EntryId(0, 1), at=draw(st.integers(0, 9)), queue="default")]
    attempt, seq, calls = 0, 1, set[tuple[int, str]]()

    def add(event: Event) -> None:
        nonlocal seq
        lost = draw(st.sampled_from([0] * 12 + [3]))
        if lost:
            events.append(
                Gap(
                    id=EntryId(attempt, seq + lost),
                    after=EntryId(events[-1].id.attempt, seq),
                    before=EntryId(attempt, seq + lost + 1),
                )
            )
        seq += lost + 1
        events.append(dataclasses.replace(event, id=EntryId(attempt, seq)))

    for _ in range(draw(st.sampled_from([1, 1, 0, 2, 3]))):
        attempt += draw(st.sampled_from([1, 1, 2]))
        continues = attempt > 1 and draw(st.booleans())
        if draw(st.integers(0, 9)):
            add(Started(at=seq, attempt=attempt, provider="p", model="m", worker="w:1", continues=continues))
        else:
            continues = False
        if not continues:
            calls.clear()
        for event in draw(st.lists(_said, max_size=8)):
            add(_named(draw, event, calls, attempt) if isinstance(event, ToolCall) else event)
    if has_ended:
        add(draw(_ending))
    return events


def _named(draw: st.DrawFn, event: ToolCall, calls: set[tuple[int, str]], attempt: int) -> ToolCall:
    """The fragment with the id and the name of its call, unless an earlier one has them. Some never come."""
    new = [part for part in ("call_id", "name") if (event.index, part) not in calls]
    together = draw(st.booleans())
    given = [part for part in new if together or draw(st.booleans())]
    calls |= {(event.index, part) for part in given}
    return dataclasses.replace(
        event,
        call_id=f"call_{attempt}_{event.index}" if "call_id" in given else None,
        name=f"tool_{event.index}" if "name" in given else None,
    )


def last_restart(events: Sequence[Event]) -> int:
    """The index of the event at which the answer began for the last time."""
    restarts = Restarts()
    return max((at for at, event in enumerate(events) if restarts.is_restart(event)), default=0)
