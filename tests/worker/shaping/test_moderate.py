"""What is flagged is not shown, or not for long."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import ProviderError
from tailrace.errors import FailureCode
from tailrace.events import Delta, Notice, Reasoning, Refusal, ToolCall
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.guards.moderate import (
    NOT_MODERATED,
    Moderation,
    ModerationFailed,
    ModerationVerdict,
    moderate,
)
from tailrace_worker.shaping.guards.openai_moderation import OpenAIModeration
from tailrace_worker.simulator import Simulator
from tests.support.cutting import Cuts, cuts
from tests.support.guarding import KINDS, STOP, Source, deltas, drained, read, text_of
from tests.support.simulator_clients import openai_client

Mode = Literal["strict", "lenient"]


async def judge_bad(text: str) -> ModerationVerdict:
    """Flags what says so."""
    await asyncio.sleep(0)
    return ModerationVerdict(categories=("hate",) if "bad" in text else ())


async def judge_nothing(text: str) -> ModerationVerdict:
    raise ModerationFailed("No endpoint.")


class Bench:
    """A judge that takes its time: each verdict waits to be spoken."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[str, asyncio.Future[ModerationVerdict]]] = asyncio.Queue()

    async def judge(self, text: str) -> ModerationVerdict:
        verdict: asyncio.Future[ModerationVerdict] = asyncio.get_running_loop().create_future()
        await self.asked.put((text, verdict))
        return await verdict

    async def speak(self, text: str, *categories: str) -> None:
        asked, verdict = await self.asked.get()
        assert asked == text
        verdict.set_result(ModerationVerdict(categories))


STRICT = Moderation(judge=judge_bad, every_chars=4, mode="strict", on_failure="closed")
LENIENT = replace(STRICT, mode="lenient")
BROKEN = ProviderError("It broke.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    async with asyncio.timeout(20):
        yield
    assert asyncio.all_tasks() <= {asyncio.current_task()}


def judged(text: str, every_chars: int) -> str:
    """What is shown of a whole text: it ends before the first stretch that is bad, together with the one before it."""
    for start in range(0, len(text), every_chars):
        if "bad" in text[max(0, start - every_chars) : start + every_chars]:
            return text[:start]
    return text


@settings(deadline=None)
@given(st.text("bad ", max_size=60), cuts, st.integers(3, 12))
def test_text_is_moderated_as_if_it_came_at_once(text: str, lengths: Cuts, every_chars: int) -> None:
    source = Source(deltas(text, lengths))
    came, error = read(moderate(source.stream(), replace(STRICT, every_chars=every_chars)))
    shown = judged(text, every_chars)
    assert text_of(came) == shown
    assert (error is None) == (shown == text)
    assert (came[-1:] == [STOP]) == (shown == text)
    assert source.is_closed


@settings(deadline=None)
@given(st.text("bad ", max_size=60), cuts, st.sampled_from(KINDS))
def test_text_that_is_shown_at_once_is_judged_all_the_same(text: str, lengths: Cuts, kind: type[Delta]) -> None:
    said = [kind(text=piece.text) if isinstance(piece, Delta) else piece for piece in deltas(text, lengths)]
    came, error = read(moderate(Source(said).stream(), LENIENT))
    assert said[: len(came)] == came
    assert (error is None) == (judged(text, 4) == text) == (came == said)


async def test_strict_text_is_held_until_it_is_judged_and_then_comes_at_once() -> None:
    bench = Bench()
    source = Source([Delta(text="one tw"), TokenCounts(output_tokens=2)], stays_open=True)
    async with aclosing(moderate(source.stream(), replace(STRICT, judge=bench.judge))) as stage:
        assert await anext(stage) == TokenCounts(output_tokens=2)
        coming = asyncio.create_task(anext(stage))
        asked, verdict = await bench.asked.get()
        assert asked == "one "
        assert not coming.done()
        verdict.set_result(ModerationVerdict())
        # The provider says nothing more, and has not said enough for another stretch.
        assert await coming == Delta(text="one ")
    assert source.is_closed


async def test_lenient_text_is_shown_before_it_is_judged() -> None:
    bench = Bench()
    source = Source([Delta(text="one "), ToolCall(index=0), Delta(text="two"), STOP])
    async with aclosing(moderate(source.stream(), replace(LENIENT, judge=bench.judge))) as stage:
        assert [await anext(stage) for _ in range(3)] == [Delta(text="one "), ToolCall(index=0), Delta(text="two")]
        ending = asyncio.create_task(anext(stage))
        await bench.speak("one ")
        await bench.speak("two")
        assert await ending == STOP


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_a_flag_ends_the_answer_while_the_provider_is_silent(mode: Mode) -> None:
    source = Source([Reasoning(text="a bad thought")], stays_open=True)
    came, error = await drained(moderate(source.stream(), replace(STRICT, every_chars=6, mode=mode)))
    assert came == ([] if mode == "strict" else [Reasoning(text="a bad thought")])
    assert error is not None
    assert (error.code, error.retryable) == (FailureCode.CONTENT_BLOCKED, False)
    assert "hate" in str(error)
    assert "bad" not in str(error)
    assert source.is_closed


async def test_each_stretch_is_judged_with_the_one_before_it_and_a_tool_call_begins_anew() -> None:
    asked: list[str] = []

    async def judge(text: str) -> ModerationVerdict:
        asked.append(text)
        return ModerationVerdict()

    said: list[Piece] = [
        Delta(text="onetwo"),
        Reasoning(text="aye"),
        Delta(text="six"),
        Reasoning(text="", signature="1"),
        Notice(code="server_tool", message="search"),
        ToolCall(index=0),
        Refusal(text="no"),
        STOP,
        TokenCounts(output_tokens=1),
    ]
    came, error = await drained(moderate(Source(said).stream(), replace(STRICT, every_chars=3, judge=judge)))
    assert error is None
    assert asked == ["one", "onetwo", "aye", "twosix", "no"]
    assert text_of(came) == "onetwosix"
    order = [piece for piece in came if not isinstance(piece, TokenCounts | Notice)]
    assert order == [
        *(Delta(text="one"), Delta(text="two"), Reasoning(text="aye"), Delta(text="six")),
        *(Reasoning(text="", signature="1"), ToolCall(index=0), Refusal(text="no"), STOP),
    ]


async def test_no_more_than_a_few_stretches_are_read_ahead() -> None:
    bench = Bench()
    source = Source([Delta(text=f"{number:04}") for number in range(100)])
    async with aclosing(moderate(source.stream(), replace(STRICT, judge=bench.judge))) as stage:
        coming = asyncio.create_task(anext(stage))
        waiting = [await bench.asked.get() for _ in range(6)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert bench.asked.empty()
        assert source.given == 6
        waiting[0][1].set_result(ModerationVerdict())
        assert await coming == Delta(text="0000")


async def test_without_a_verdict_a_closed_guard_shows_nothing() -> None:
    came, error = await drained(
        moderate(Source(deltas("one two three", [2])).stream(), replace(STRICT, judge=judge_nothing))
    )
    assert came == []
    assert error is not None
    assert (error.code, error.retryable) == (FailureCode.CONTENT_BLOCKED, True)


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_without_a_verdict_an_open_guard_says_so_once(mode: Mode) -> None:
    moderation = Moderation(judge=judge_nothing, every_chars=4, mode=mode, on_failure="open")
    came, error = await drained(moderate(Source(deltas("one two three", [2])).stream(), moderation))
    assert error is None
    assert text_of(came) == "one two three"
    assert [piece.code for piece in came if isinstance(piece, Notice)] == [NOT_MODERATED]
    assert came[-1] == STOP


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_who_is_cancelled_leaves_no_call_behind(mode: Mode) -> None:
    bench = Bench()
    source = Source([Delta(text="one two three")], stays_open=True)
    stage = moderate(source.stream(), replace(STRICT, mode=mode, judge=bench.judge))
    reading = asyncio.create_task(drained(stage))
    _, verdict = await bench.asked.get()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert verdict.cancelled()
    assert source.is_closed


async def test_who_leaves_before_reading_on_leaves_no_call_behind() -> None:
    bench = Bench()
    source = Source([Delta(text=f"{number:04}") for number in range(100)])
    stage = moderate(source.stream(), replace(LENIENT, judge=bench.judge))
    await anext(stage)
    _, verdict = await bench.asked.get()
    await stage.aclose()
    assert verdict.cancelled()
    assert source.is_closed


async def broken(text: str) -> AsyncGenerator[Piece, None]:
    yield Delta(text=text)
    raise BROKEN


@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_what_the_provider_raises_is_raised_as_it_is_behind_what_it_said(mode: Mode) -> None:
    came, error = await drained(moderate(broken("one two"), replace(STRICT, mode=mode)))
    assert text_of(came) == "one two"
    assert error is BROKEN


@pytest.mark.parametrize(("mode", "shown"), [("strict", ""), ("lenient", "bad")])
async def test_what_a_provider_said_before_it_broke_off_is_judged(mode: Mode, shown: str) -> None:
    came, error = await drained(moderate(broken("bad"), replace(STRICT, mode=mode)))
    assert text_of(came) == shown
    assert error is not None
    assert error.code is FailureCode.CONTENT_BLOCKED


@pytest.mark.parametrize("mode", ["strict", "lenient"])
@pytest.mark.parametrize(("said", "is_flagged"), [("so b", True), ("b so", False)])
async def test_an_answer_that_goes_on_is_judged_with_what_stands_before_it(
    mode: Mode, said: str, is_flagged: bool
) -> None:
    source = Source(deltas("ad", [1]))
    _, error = await drained(moderate(source.stream(), replace(STRICT, mode=mode), said=said))
    assert (error is not None) == is_flagged


async def test_a_defect_of_the_judge_is_not_taken_for_a_verdict() -> None:
    async def judge(text: str) -> ModerationVerdict:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await drained(moderate(Source(deltas("one two", [3])).stream(), replace(STRICT, judge=judge)))


async def test_openai_judges_by_its_own_sdk() -> None:
    async with Simulator() as simulator, openai_client(simulator) as client:
        judge = OpenAIModeration(client).judge
        assert await judge("all is well") == ModerationVerdict()
        assert await judge("flag:violence flag:self-harm") == ModerationVerdict(categories=("self-harm", "violence"))
        said = deltas("well, well. flag:sexual", [5])
        came, error = await drained(moderate(Source(said).stream(), replace(STRICT, every_chars=8, judge=judge)))
        assert text_of(came) == "well, well. flag"
        assert "sexual" in str(error)


@pytest.mark.parametrize(("options", "asked"), [("status=503", 3), ("status=401", 1)])
@pytest.mark.slow
async def test_an_endpoint_that_fails_is_asked_again_where_that_helps(options: str, asked: int) -> None:
    async with Simulator() as simulator, openai_client(simulator) as client:
        with pytest.raises(ModerationFailed, match="Error"):
            await OpenAIModeration(client, model=f"omni?{options}").judge("text")
        assert len(simulator.journal.entries) == asked


@pytest.mark.parametrize(
    "answer", ['{"results": []}', '{"results": [{}]}', '{"results": [{"flagged": "no"}]}', "{}", "[]", "null", "fine"]
)
async def test_an_answer_that_does_not_say_that_a_text_is_fine_is_no_verdict(answer: str) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(text=answer)

    app = web.Application()
    app.router.add_post("/v1/moderations", handle)
    async with (
        TestServer(app) as server,
        openai.AsyncOpenAI(api_key="any", base_url=str(server.make_url("/v1")), max_retries=0) as client,
    ):
        with pytest.raises(ModerationFailed):
            await OpenAIModeration(client).judge("text")


@pytest.mark.slow
async def test_a_key_is_not_told_by_a_failure() -> None:
    async with openai.AsyncOpenAI(api_key="sk-planted", base_url="http://127.0.0.1:9/v1", max_retries=0) as client:
        with pytest.raises(ModerationFailed) as caught:
            await OpenAIModeration(client).judge("text")
    assert "planted" not in str(caught.value)
