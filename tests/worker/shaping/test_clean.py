"""What is no text does not get through, however it is cut."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import Delta, Reasoning, ToolCall
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.guards.clean import clean, cleaned
from tests.support.cutting import Cuts, cut, cuts
from tests.support.guarding import KINDS, STOP, Source, broken_text, deltas, drained, read, text_of

KEPT_CONTROLS = "\t\n\r"
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def whole(text: str) -> str:
    """The guard applied to all of the text at once, character by character."""
    unicode = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return "".join(
        character
        for character in unicode
        if character in KEPT_CONTROLS or not (ord(character) < 32 or 127 <= ord(character) < 160)
        if character not in OVERRIDES
    )


@given(broken_text, cuts)
def test_text_is_cleaned_as_if_it_came_at_once(text: str, lengths: Cuts) -> None:
    came, error = read(clean(Source(deltas(text, lengths)).stream()))
    assert error is None
    assert text_of(came) == whole(text) == cleaned(text)
    assert text_of(came).encode().decode() == text_of(came)
    assert came[-1] == STOP


@given(st.lists(st.tuples(st.sampled_from(KINDS), broken_text.filter(bool)), max_size=8))
def test_each_of_the_three_texts_is_one_of_its_own(said: list[tuple[type[Delta], str]]) -> None:
    came, _ = read(clean(Source([kind(text=text) for kind, text in said]).stream()))
    for kind in KINDS:
        rest = "".join(text for of, text in said if of is kind)
        # Half a pair that nothing follows goes; there is no end here that would tell.
        assert text_of(came, kind) == whole(rest)


async def test_nothing_but_half_a_pair_is_held_back() -> None:
    stage = clean(Source([Delta(text="a\ud83d"), Delta(text="\ude00b")], stays_open=True).stream())
    assert await anext(stage) == Delta(text="a")
    assert await anext(stage) == Delta(text="😀b")
    await stage.aclose()


async def test_a_piece_of_plain_text_passes_as_it_is() -> None:
    piece = Delta(text="Grüße,\n\tund 😀 مرحبا\u200f")
    stage = clean(Source([piece]).stream())
    assert await anext(stage) is piece
    await stage.aclose()


@given(broken_text, cuts)
def test_arguments_of_tool_calls_are_cleaned_call_by_call(text: str, lengths: Cuts) -> None:
    calls: list[Piece] = [
        ToolCall(index=index, name="n\u202ea", arguments=chunk) for chunk in cut(text, lengths) for index in (0, 1)
    ]
    came, _ = read(clean(Source(calls).stream()))
    for index in (0, 1):
        arguments = [piece.arguments for piece in came if isinstance(piece, ToolCall) and piece.index == index]
        assert "".join(arguments) == whole(text)
    assert {piece.name for piece in came if isinstance(piece, ToolCall)} <= {"na"}
    assert len(came) == len(calls)


async def test_a_thought_that_was_altered_loses_its_signature() -> None:
    thoughts: list[Piece] = [
        Reasoning(text="plain"),
        Reasoning(text="", signature="1"),
        Reasoning(text="cont\x00rol"),
        TokenCounts(output_tokens=1),
        Reasoning(text="", signature="2"),
        Reasoning(text="plain again", signature="3"),
    ]
    came, _ = await drained(clean(Source(thoughts).stream()))
    assert came == [
        Reasoning(text="plain"),
        Reasoning(text="", signature="1"),
        Reasoning(text="control"),
        TokenCounts(output_tokens=1),
        Reasoning(text="plain again"),
        Reasoning(text="", signature="3"),
    ]
