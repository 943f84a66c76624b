"""Guards around a verbatim answer: they stop it, and change neither a byte nor the order."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Citation, Delta, Frames, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.guards import Block, Guard, Moderate
from tailrace_worker.providers.base import Finish, Piece, TokenCounts
from tailrace_worker.shaping.guards.apply import shielded
from tailrace_worker.shaping.guards.moderate import ModerationFailed, ModerationVerdict
from tailrace_worker.shaping.guards.unchanged import unchanged
from tests.support.guarding import Source, drained, read, rules_of

STOP = Finish(reason="stop", provider_reason="stop", raw=b":[DONE]\n")
BLOCK: Block = {"type": "block", "words": ["mill race", "xylophone"], "kinds": ["email"]}
STRICT: Moderate = {"type": "moderate", "every_chars": 50}
LENIENT: Moderate = {"type": "moderate", "mode": "lenient"}

raws = st.none() | st.binary(min_size=1, max_size=9)
words = st.text("mil rac@.x", max_size=600)
pieces = st.lists(
    st.builds(Delta, text=words, raw=raws)
    | st.builds(Reasoning, text=words, signature=st.none() | st.just("s"), raw=raws)
    | st.builds(Refusal, text=words, raw=raws)
    | st.builds(ToolCall, index=st.just(0), arguments=words, raw=raws)
    | st.builds(Citation, source=st.just("web"), title=st.none() | words, raw=raws)
    | st.builds(Notice, code=st.just("c"), message=words, raw=raws)
    | st.builds(Frames, raw=st.binary(min_size=1, max_size=9))
    | st.just(TokenCounts(output_tokens=1))
)


async def approve(text: str) -> ModerationVerdict:
    await asyncio.sleep(0)
    return ModerationVerdict(categories=("bad",) if "xylophone" in text else ())


def guarded(source: Source, *guards: Guard) -> AsyncGenerator[Piece, None]:
    return unchanged(source.stream(), partial(shielded, guards=guards, rules_of=rules_of, judge=approve))


@pytest.mark.slow
@pytest.mark.parametrize("guards", [[BLOCK], [STRICT], [LENIENT], [STRICT, BLOCK, LENIENT]], ids=str)
@settings(deadline=None)
@given(pieces)
def test_what_passes_is_what_came(guards: list[Guard], said: list[Piece]) -> None:
    source = Source([*said, STOP])
    came, error = read(guarded(source, *guards))
    assert source.is_closed
    if error is None:
        assert came == [*said, STOP]
    else:
        assert error.code is FailureCode.CONTENT_BLOCKED
        assert came == said[: len(came)]


@pytest.mark.parametrize("guard", [BLOCK, STRICT], ids=["block", "moderate"])
async def test_a_piece_with_a_part_of_a_match_is_not_shown(guard: Guard) -> None:
    said: list[Piece] = [
        *(Delta(text="A ", raw=b":1\n"), Delta(text="xylo", raw=b":2\n"), Frames(raw=b"ping:\n")),
        *(Delta(text="phone", raw=b":3\n"), Delta(text=".", raw=b":4\n"), STOP),
    ]
    came, error = await drained(guarded(Source(said), guard))
    assert came == said[: len(came)]
    assert len(came) <= 1
    assert error is not None
    assert error.code is FailureCode.CONTENT_BLOCKED


async def test_frames_wait_for_text_before_them_and_for_nothing_else() -> None:
    said: list[Piece] = [Frames(raw=b"start:\n"), Delta(text="Hello there", raw=b":1\n"), Frames(raw=b"ping:\n")]
    stream = guarded(Source(said, stays_open=True), BLOCK)
    async with aclosing(stream), asyncio.timeout(10):
        assert await anext(stream) == said[0]
        reading = asyncio.ensure_future(anext(stream))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not reading.done()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_notice_of_a_guard_comes_too() -> None:
    async def fail(_: str) -> ModerationVerdict:
        raise ModerationFailed("away")

    guards: list[Guard] = [{"type": "moderate", "on_failure": "open"}]
    said: list[Piece] = [Notice(code="web_search", message="mills", raw=b":1\n"), Delta(text="Hi", raw=b":2\n"), STOP]
    stream = unchanged(Source(said).stream(), partial(shielded, guards=guards, rules_of=rules_of, judge=fail))
    came, error = await drained(stream)
    assert error is None
    assert [piece for piece in came if not isinstance(piece, Notice) or piece.code == "web_search"] == said
    assert len(came) == len(said) + 1


async def test_the_frames_of_an_error_are_not_shown() -> None:
    error = ProviderError("No.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
    error.raw = b':{"error":"after a xylophone"}\n'

    async def stream() -> AsyncGenerator[Piece, None]:
        yield Delta(text="A xylo", raw=b":1\n")
        raise error

    shielding = partial(shielded, guards=[BLOCK], rules_of=rules_of, judge=approve)
    came, raised = await drained(unchanged(stream(), shielding))
    assert came == []
    assert raised is not None
    assert raised.raw is None
