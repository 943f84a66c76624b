"""Crumbs of text become larger pieces, in time, and whole."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from itertools import accumulate

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tailrace import FailureCode, ProviderError
from tailrace.events import Delta, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.limits import Buffering
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.buffer import buffer
from tests.support.cutting import cut, cuts
from tests.support.guarding import STOP
from tests.support.virtual_time import now, run

Timed = tuple[float, Piece]

BROKEN = ProviderError("The stream broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
WIDE = Buffering(max_chars=10_000, max_delay_ms=10_000)

CLUSTERS = [
    "a",
    "B ",
    ". ",
    "。",
    "\r\n",
    "\n",
    "7",
    "e\u0301",
    "1\ufe0f\u20e3",
    "🇩🇪",
    "👩🏽\u200d❤️\u200d👩🏻",
    "क्षि",
    "각",
    "가",
    "\u0600x",
]
clustered = st.lists(st.sampled_from([*CLUSTERS, "\ud83d\ude00"]), max_size=20).map("".join)
limits = st.builds(
    Buffering, max_chars=st.integers(1, 30), max_delay_ms=st.integers(1, 200), at_sentences=st.booleans()
)
pauses = st.sampled_from([0, 0, 0.01, 0.05, 0.3])
pieces = st.one_of(
    st.builds(Delta, text=st.sampled_from(CLUSTERS)),
    st.builds(Delta, text=st.text(min_size=1)),
    st.builds(Reasoning, text=st.sampled_from(CLUSTERS)),
    st.builds(Refusal, text=st.sampled_from(CLUSTERS)),
    st.sampled_from(
        [
            Reasoning(text="", signature="s"),
            ToolCall(index=0),
            Notice(code="n", message=""),
            TokenCounts(output_tokens=1),
        ]
    ),
)


async def source(
    said: Iterable[Timed], error: Exception | None = None, *, ends: bool = True
) -> AsyncGenerator[Piece, None]:
    for seconds, piece in said:
        if seconds:
            await asyncio.sleep(seconds)
        yield piece
    if error:
        raise error
    if not ends:
        await asyncio.Event().wait()


def buffered(
    said: Iterable[Timed], buffering: Buffering, error: Exception | None = None, *, until: float = 1_000
) -> list[tuple[float, Piece]]:
    """What came, and when."""

    async def collect() -> list[tuple[float, Piece]]:
        came: list[tuple[float, Piece]] = []
        try:
            async with (
                asyncio.timeout(until),
                aclosing(buffer(source(said, error, ends=until == 1_000), buffering)) as stage,
            ):
                async for piece in stage:
                    came.append((now(), piece))  # noqa: PERF401
        except TimeoutError:
            assert until < 1_000
        except ProviderError as raised:
            assert raised is error
        return came

    return run(collect())


def texts(said: Iterable[Timed], buffering: Buffering) -> list[str]:
    return [piece.text for _, piece in buffered(said, buffering) if isinstance(piece, Delta)]


def at_once(text: str, lengths: Iterable[int] = (1,)) -> list[Timed]:
    """The text in chunks that come without a pause."""
    return [(0, Delta(text=chunk)) for chunk in cut(text, lengths)]


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """What readers get, with the texts joined that nothing stands between."""
    answer: list[Piece] = []
    for piece in pieces:
        match piece, answer[-1] if answer else None:
            case TokenCounts(), _:
                pass
            case Delta(text=text), Delta(text=before):
                answer[-1] = Delta(text=before + text)
            case Refusal(text=text), Refusal(text=before):
                answer[-1] = Refusal(text=before + text)
            case Reasoning(text=text, signature=None), Reasoning(text=before, signature=None):
                answer[-1] = Reasoning(text=before + text)
            case _:
                answer.append(piece)
    return answer


@settings(deadline=None)
@given(st.lists(st.tuples(pauses, pieces), max_size=20), limits, st.sampled_from([None, BROKEN]))
def test_nothing_is_lost_reordered_or_joined_across_what_is_no_text(
    said: list[Timed], buffering: Buffering, error: ProviderError | None
) -> None:
    came = [piece for _, piece in buffered(said, buffering, error)]
    assert joined(came) == joined(piece for _, piece in said)
    assert came.count(TokenCounts(output_tokens=1)) == [piece for _, piece in said].count(TokenCounts(output_tokens=1))


@settings(deadline=None)
@given(clustered, cuts, limits)
@example("first e\u0301", [7], Buffering(max_chars=1))
@example("。\u0301a", [1], WIDE)
def test_no_piece_ends_inside_of_a_grapheme_cluster_or_a_surrogate_pair(
    text: str, lengths: list[int], buffering: Buffering
) -> None:
    clusters = regex.findall(r"[\uD800-\uDBFF][\uDC00-\uDFFF]|\X", text)
    cuts = set(accumulate(map(len, texts(at_once(text, lengths), buffering))))
    assert cuts <= set(accumulate(map(len, clusters)))


@settings(deadline=None)
@given(st.lists(st.tuples(pauses, st.sampled_from("ab c.")), max_size=30), limits)
def test_no_letter_waits_for_longer_than_the_delay(letters: list[tuple[float, str]], buffering: Buffering) -> None:
    said = [(seconds, Delta(text=letter)) for seconds, letter in letters]
    arrived = accumulate(seconds for seconds, _ in said)
    shown = [at for at, piece in buffered(said, buffering) for _ in getattr(piece, "text", "")]
    assert all(at - since <= buffering.max_delay_ms / 1000 + 1e-9 for at, since in zip(shown, arrived, strict=True))


@settings(deadline=None)
@given(st.text(st.sampled_from("ab c."), max_size=60), cuts, limits)
def test_no_more_waits_than_may(text: str, lengths: list[int], buffering: Buffering) -> None:
    assert max(map(len, texts(at_once(text, lengths), buffering)), default=0) < buffering.max_chars + max(lengths)


@pytest.mark.parametrize("first", ["Hello", "I", "你", "Dr. No."])
def test_the_first_text_comes_at_once_though_nothing_follows(first: str) -> None:
    assert buffered([(1, Delta(text=first))], WIDE, until=2) == [(1, Delta(text=first))]


def test_all_of_the_first_text_comes_at_once_though_a_sentence_ends_in_it() -> None:
    said = [(1.0, Delta(text="Yes. It is"))]
    assert buffered(said, WIDE, until=2) == [(1, Delta(text="Yes.")), (1, Delta(text=" It is"))]


def test_the_timer_lets_text_go_though_nothing_follows() -> None:
    said = [(1.0, Delta(text="Hello")), (1.0, Delta(text=" you")), (0.05, Delta(text=" there"))]
    assert buffered(said, Buffering(), until=9) == [(1, Delta(text="Hello")), (2.1, Delta(text=" you there"))]


@pytest.mark.parametrize("cluster", ["👩🏽\u200d❤️\u200d👩🏻", "1\ufe0f\u20e3", "🇩🇪", "क्षि", "\ud83d\ude00"], ids=ascii)
def test_what_often_goes_on_is_not_split_by_the_timer_either(cluster: str) -> None:
    said = [(1.0, Delta(text=character)) for character in f"ab{cluster}c"]
    assert [text for text in texts(said, Buffering()) if text not in {"a", "b"}] in ([cluster, "c"], [cluster + "c"])


def test_a_tool_call_and_the_end_let_all_go() -> None:
    said: list[Timed] = [(0, piece) for piece in (Delta(text="Hello 1"), ToolCall(index=0), Delta(text="2"), STOP)]
    assert [piece for _, piece in buffered(said, WIDE)] == [piece for _, piece in said]


def test_thinking_and_answer_are_not_joined() -> None:
    said: list[Timed] = [(0, piece) for piece in (Reasoning(text="Hm."), Delta(text="Yes"), Refusal(text="No"), STOP)]
    assert [piece for _, piece in buffered(said, WIDE)] == [piece for _, piece in said]


def test_usage_lets_nothing_go() -> None:
    hello, usage = Delta(text="Hello"), TokenCounts(output_tokens=1)
    said: list[Timed] = [(0, hello), (1, Delta(text=" y")), (0, usage), (0, Delta(text="ou"))]
    assert [piece for _, piece in buffered(said, WIDE)] == [hello, usage, Delta(text=" you")]


def test_text_goes_before_the_error_that_follows_it() -> None:
    said: list[Timed] = [(0, Delta(text="Hello")), (1, Delta(text=" you"))]
    assert buffered(said, WIDE, BROKEN) == [(0, Delta(text="Hello")), (1, Delta(text=" you"))]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", " Two!", " Three?", " Four"]),
        ("Pi is 3.14. It is", ["Pi is 3.14.", " It is"]),
        ("Some, e.g. this, z.B. das. So", ["Some, e.g. this, z.B. das.", " So"]),
        ("See https://a.b/c.d?e=f! Now", ["See https://a.b/c.d?e=f!", " Now"]),
        ("Dr. No and J. Bond. So", ["Dr. No and J. Bond.", " So"]),
        ("(Is it I?) Yes", ["(Is it I?)", " Yes"]),
        ('"Go!" **Now.** «Oui.» „Ja.“ So', ['"Go!"', " **Now.**", " «Oui.»", " „Ja.“", " So"]),
        ("你好。「好！」是？ 3.14。", ["你好。", "「好！」", "是？", " 3.14。"]),  # noqa: RUF001
        ("他说。“好。”是", ["他说。", "“好。”", "是"]),
        ("Well… What?! No...\nYes", ["Well…", " What?!", " No...", "\nYes"]),
        ("No end", ["No end"]),
    ],
)
def test_sentences_come_one_by_one(text: str, sentences: list[str]) -> None:
    assert texts(at_once(text), WIDE) == sentences
    assert texts(at_once(text), WIDE.model_copy(update={"at_sentences": False})) == [text]


def test_text_comes_as_soon_as_there_is_enough_of_it() -> None:
    said = [(0.01, Delta(text="abc")) for _ in range(9)]
    assert texts(said, Buffering(max_chars=10, max_delay_ms=10_000)) == ["abc", "abcabcabcab", "cabcabcab", "cabc"]


def test_a_cluster_without_end_is_not_waited_for() -> None:
    came = texts(at_once("a" + "\u0301" * 1_000), Buffering(max_chars=1))
    assert max(map(len, came)) < 200


async def test_reading_stops_while_nobody_takes() -> None:
    given_ = 0

    async def endless() -> AsyncGenerator[Piece, None]:
        nonlocal given_
        while True:
            given_ += 1
            yield Delta(text="Hello. ")

    async with asyncio.timeout(20), aclosing(buffer(endless(), Buffering(max_chars=20))) as stage:
        await anext(stage)
        taken = given_
        for _ in range(100):
            await asyncio.sleep(0)
        assert given_ - taken < 5
        await anext(stage)
        await anext(stage)
    assert given_ > taken


def test_the_timer_splits_nothing_while_nobody_takes() -> None:
    async def main() -> list[str]:
        crumbs = [Delta(text="Hi"), Delta(text=" "), Delta(text="cafe"), Delta(text="\u0301 au lait")]
        came: list[str] = []
        async for piece in buffer(source(zip([1, 1, 0.05, 0], crumbs, strict=True)), Buffering(max_chars=4)):
            assert isinstance(piece, Delta)
            came.append(piece.text)
            await asyncio.sleep(5)
        return came

    assert run(main()) == ["Hi", " caf", "e\u0301 au lai", "t"]


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "cancelled"])
def test_the_source_is_closed_with_the_stage(closes: bool) -> None:
    closed_at: list[float] = []

    async def silent() -> AsyncGenerator[Piece, None]:
        try:
            yield Delta(text="Hello")
            await asyncio.Event().wait()
        finally:
            closed_at.append(now())

    async def main() -> None:
        stage = buffer(silent(), WIDE)
        await anext(stage)
        if closes:
            await asyncio.sleep(1)
            await stage.aclose()
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await anext(stage)
        assert closed_at == [1]
        assert len(asyncio.all_tasks()) == 1

    run(main())


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "cancelled"])
def test_what_it_holds_is_left_to_who_leaves(closes: bool) -> None:
    call = ToolCall(index=0)
    said: list[Timed] = [(0, Delta(text="Yes")), (1, Delta(text=" it")), (0, call), (0, Delta(text=" is"))]
    left: list[Piece] = []

    async def main() -> None:
        stage = buffer(source(said, ends=False), WIDE, left)
        assert [await anext(stage), await anext(stage)] == [Delta(text="Yes"), Delta(text=" it")]
        if closes:
            await stage.aclose()
            return
        assert await anext(stage) == call
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await anext(stage)

    run(main())
    assert left == ([call] if closes else [Delta(text=" is")])


@pytest.mark.parametrize(
    "wrong", [{"max_chars": 0}, {"max_delay_ms": 0}, {"max_chars": 10_001}, {"max_delay_ms": 10_001}, {"chars": 5}]
)
def test_a_limit_is_a_number_that_makes_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Buffering.model_validate(wrong)
