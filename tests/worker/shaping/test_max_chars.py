"""An answer that is too long is cut."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import Delta, Reasoning, Refusal, ToolCall
from tailrace_worker.providers.base import Finish, Piece, TokenCounts
from tailrace_worker.shaping.guards.max_chars import max_chars
from tests.support.cutting import Cuts, cuts
from tests.support.guarding import STOP, Source, broken_text, deltas, drained, read, text_of

CUT = Finish(reason="length", provider_reason="max_chars")


@given(broken_text, cuts, st.integers(1, 20))
def test_text_is_cut_as_if_it_came_at_once(text: str, lengths: Cuts, limit: int) -> None:
    source = Source(deltas(text, lengths))
    came, error = read(max_chars(source.stream(), limit))
    assert error is None
    assert text_of(came) == text[:limit]
    assert came[-1] == (CUT if len(text) > limit else STOP)
    assert source.is_closed


@given(broken_text, st.integers(0, 30), cuts, st.integers(1, 20))
def test_what_earlier_attempts_said_of_the_text_counts_too(text: str, place: int, lengths: Cuts, limit: int) -> None:
    said, rest = text[:place], text[place:]
    came, _ = read(max_chars(Source(deltas(rest, lengths)).stream(), limit, said=said))
    assert said + text_of(came) == (text[:limit] if len(said) < limit else said)
    assert came[-1] == (CUT if rest and len(text) > limit else STOP)


async def test_the_provider_is_stopped_before_the_finish_is_told() -> None:
    source = Source([Delta(text="1234"), Delta(text="5678"), Delta(text="9")], stays_open=True)
    stage = max_chars(source.stream(), 6)
    assert [await anext(stage), await anext(stage)] == [Delta(text="1234"), Delta(text="56")]
    assert await anext(stage) == CUT
    assert source.is_closed
    assert source.given == 2
    assert [piece async for piece in stage] == []


async def test_a_refusal_is_counted_for_itself_and_thoughts_are_not() -> None:
    pieces: list[Piece] = [
        Reasoning(text="a long thought"),
        Delta(text="text"),
        ToolCall(index=0, arguments="{}"),
        TokenCounts(output_tokens=3),
        Refusal(text="no"),
        Refusal(text="no no no"),
    ]
    came, _ = await drained(max_chars(Source(pieces).stream(), 4))
    assert came == [*pieces[:5], Refusal(text="no"), CUT]
