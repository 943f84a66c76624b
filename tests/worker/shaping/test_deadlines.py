"""A provider that is silent for too long is cut off, by the clock."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest
import uvloop
from pydantic import ValidationError

from tailrace import ProviderError
from tailrace.events import Delta, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.limits import Timeouts
from tailrace_worker.providers.base import Alive, Piece, TokenCounts
from tailrace_worker.shaping.deadlines import CallWatch, deadlines
from tests.support.guarding import STOP
from tests.support.virtual_time import now, run

HELLO = Delta(text="Hello")
LIMITS = Timeouts(first_token_seconds=10, idle_seconds=5, total_seconds=60)


class Source:
    """A provider that says each piece after some seconds, and then is silent."""

    def __init__(self, *said: tuple[float, Piece | Alive], ends: bool = False) -> None:
        self._said = said
        self._ends = ends
        self.closed_at: float | None = None

    async def stream(self) -> AsyncGenerator[Piece | Alive, None]:
        try:
            for seconds, piece in self._said:
                # A piece that is there at once lets nobody else run.
                if seconds:
                    await asyncio.sleep(seconds)
                yield piece
            if not self._ends:
                await asyncio.Event().wait()
        finally:
            self.closed_at = now()


async def drained(stage: AsyncGenerator[Piece, None]) -> tuple[list[Piece], ProviderError | None]:
    """What came, and what ended it if that was not the end."""
    came: list[Piece] = []
    try:
        async with aclosing(stage):
            async for piece in stage:
                came.append(piece)  # noqa: PERF401
    except ProviderError as error:
        return came, error
    return came, None


async def watched(source: Source, timeouts: Timeouts = LIMITS) -> tuple[list[Piece], ProviderError | None]:
    """What came in time, and what ended it if that was not the end."""
    return await drained(deadlines(source.stream(), CallWatch(timeouts)))


async def cut(source: Source, timeouts: Timeouts = LIMITS) -> tuple[str, float, list[Piece]]:
    """The code of the cut, when it came, and what had come before."""
    came, error = await watched(source, timeouts)
    assert error is not None
    assert error.retryable
    assert source.closed_at == now()
    return error.code, now(), came


@pytest.mark.parametrize("said", [[], [TokenCounts(input_tokens=1)], [Notice(code="fallback", message="")]], ids=str)
def test_a_provider_that_says_no_token_is_cut_off(said: list[Piece]) -> None:
    source = Source(*((2, piece) for piece in said))
    assert run(cut(source)) == ("first_token_timeout", 10, said)


@pytest.mark.parametrize(
    "said",
    [HELLO, Reasoning(text="Hm."), Reasoning(text="", signature="s"), Refusal(text="No"), ToolCall(index=0)],
    ids=str,
)
def test_after_any_content_only_silence_counts(said: Piece) -> None:
    assert run(cut(Source((9, said)))) == ("idle_timeout", 14, [said])


def test_a_provider_that_falls_silent_is_cut_off_and_what_came_stays() -> None:
    source = Source((9, HELLO), (4, HELLO), (1, TokenCounts()), (4.5, HELLO), (5.5, HELLO))
    assert run(cut(source)) == ("idle_timeout", 23.5, [HELLO, HELLO, TokenCounts(), HELLO])


@pytest.mark.parametrize(("limits", "seconds"), [(LIMITS, 8), (Timeouts(total_seconds=4), 4)], ids=["idle", "total"])
def test_an_answer_that_is_finished_and_does_not_end_is_cut_off_and_whole(limits: Timeouts, seconds: float) -> None:
    async def finished() -> tuple[list[Piece], ProviderError | None, float, float | None]:
        source = Source((1, HELLO), (1, STOP), (1, TokenCounts()))
        return *await watched(source, limits), now(), source.closed_at

    assert run(finished()) == ([HELLO, STOP, TokenCounts()], None, seconds, seconds)


def test_a_provider_that_speaks_for_too_long_is_cut_off() -> None:
    assert run(cut(Source(*[(4, HELLO)] * 99))) == ("total_timeout", 60, [HELLO] * 14)


def test_the_total_comes_before_the_first_token_where_it_is_shorter() -> None:
    assert run(cut(Source(), Timeouts(total_seconds=3))) == ("total_timeout", 3, [])


def test_a_sign_of_life_is_no_silence_and_no_token() -> None:
    alive = [(4, Alive())] * 3
    assert run(cut(Source((1, HELLO), *alive, (4, HELLO), *alive))) == ("idle_timeout", 34, [HELLO, HELLO])
    assert run(cut(Source(*alive))) == ("first_token_timeout", 10, [])


def test_the_end_of_an_answer_that_may_be_whole_is_waited_for_until_the_total_passes() -> None:
    whole = Alive(is_whole=True)
    assert run(cut(Source((1, HELLO), (1, whole)))) == ("total_timeout", 60, [HELLO])
    assert run(cut(Source((1, whole)))) == ("total_timeout", 60, [])
    # It goes on, and its silence counts again.
    assert run(cut(Source((1, HELLO), (1, whole), (20, HELLO)))) == ("idle_timeout", 27, [HELLO, HELLO])


def test_what_the_worker_holds_up_is_not_the_providers_silence() -> None:
    held = Alive(is_held=True)
    # 20 s of it are the worker's: the first token has 10 s, and each silence 5 s.
    assert run(cut(Source((1, held), (20, Alive())))) == ("first_token_timeout", 30, [])
    assert run(cut(Source((1, held), (20, Alive()), (8.5, HELLO)))) == ("idle_timeout", 34.5, [HELLO])
    assert run(cut(Source((1, HELLO), (1, held), (20, Alive())))) == ("idle_timeout", 27, [HELLO])
    assert run(cut(Source((1, HELLO), (1, held), (20, HELLO)))) == ("idle_timeout", 27, [HELLO, HELLO])
    assert run(cut(Source((1, HELLO), (1, held)))) == ("total_timeout", 60, [HELLO])


@pytest.mark.parametrize("loop_factory", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
@pytest.mark.parametrize("limits", [{"first_token_seconds": 0.05}, {"idle_seconds": 0.05}], ids=str)
def test_a_worker_that_was_held_up_reads_what_has_come_before_it_calls_anybody_silent(
    limits: dict[str, float], loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def held_up() -> list[Piece]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)

        async def stream() -> AsyncGenerator[Piece | Alive, None]:
            if "idle_seconds" in limits:
                yield HELLO
            theirs.send(b"!")
            # Longer than the deadline: nothing is read meanwhile.
            time.sleep(0.1)  # noqa: ASYNC251
            await reader.readexactly(1)
            yield HELLO

        async with aclosing(deadlines(stream(), CallWatch(Timeouts(**limits)))) as pieces:
            came = [piece async for piece in pieces]
        writer.close()
        theirs.close()
        return came

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(held_up())[-1] == HELLO


def test_the_defaults_are_300_120_and_600_seconds() -> None:
    assert run(cut(Source(), Timeouts()))[:2] == ("first_token_timeout", 300)
    assert run(cut(Source((1, HELLO)), Timeouts()))[:2] == ("idle_timeout", 121)
    assert run(cut(Source(*[(20, HELLO)] * 99), Timeouts()))[:2] == ("total_timeout", 600)


def test_an_interactive_stream_has_10_5_and_60_seconds() -> None:
    assert Timeouts.interactive() == LIMITS


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source(), "The provider sent nothing within 10 s (`first_token_seconds`)."),
        (Source((1, HELLO)), "The provider was silent for 5 s (`idle_seconds`)."),
        (Source(*[(1, HELLO)] * 99), "The generation took longer than 60 s (`total_seconds`)."),
    ],
)
def test_the_message_names_the_limit(source: Source, message: str) -> None:
    _, error = run(watched(source))
    assert str(error) == message


def test_a_stream_that_keeps_to_its_limits_passes_as_it_is() -> None:
    source = Source((9, HELLO), (4.5, Reasoning(text="Hm.")), (4.5, STOP), (4.5, TokenCounts()), ends=True)
    assert run(watched(source)) == ([HELLO, Reasoning(text="Hm."), STOP, TokenCounts()], None)


def test_the_time_that_a_piece_takes_on_its_way_is_not_the_providers_silence() -> None:
    async def slow() -> int:
        count = 0
        async for _ in deadlines(Source((1, HELLO), (4, HELLO), (4, HELLO), ends=True).stream(), CallWatch(LIMITS)):
            await asyncio.sleep(15)
            count += 1
        return count

    assert run(slow()) == 3


def test_who_has_taken_a_piece_is_never_cut_off_but_gets_no_more_after_the_total() -> None:
    async def stalled() -> None:
        source = Source(*[(0, HELLO)] * 9)
        async with aclosing(deadlines(source.stream(), CallWatch(LIMITS))) as stage:
            await anext(stage)
            await asyncio.sleep(61)
            with pytest.raises(ProviderError, match="60 s"):
                await anext(stage)
            assert source.closed_at == 61

    run(stalled())


def test_each_piece_may_be_waited_for_by_another_task() -> None:
    async def passed_around() -> None:
        stage = deadlines(Source((1, HELLO), (1, HELLO)).stream(), CallWatch(LIMITS))
        for _ in range(2):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_take(stage))
        with pytest.raises(ProviderError, match="silent"):
            await asyncio.create_task(_take(stage))
        assert now() == 7

    run(passed_around())


async def _take(stage: AsyncGenerator[Piece, None]) -> None:
    assert await anext(stage) == HELLO


@pytest.mark.parametrize("seconds", [3, 5], ids=["before", "with"])
def test_a_task_that_somebody_else_cancels_stays_cancelled(seconds: float) -> None:
    """Also where that happens in the very moment of the deadline."""

    async def cancelled() -> None:
        source = Source((0, HELLO))
        stage = deadlines(source.stream(), CallWatch(LIMITS))
        await anext(stage)
        waiting = asyncio.create_task(_take(stage))
        asyncio.get_running_loop().call_at(seconds, waiting.cancel)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        assert source.closed_at == now() == seconds

    run(cancelled())


def test_after_a_cut_the_task_is_not_cancelled() -> None:
    async def cut_and_go_on() -> None:
        await cut(Source())
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        await asyncio.sleep(1)

    run(cut_and_go_on())


async def _swallowing() -> AsyncGenerator[Piece, None]:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        yield HELLO


async def _ending() -> AsyncGenerator[Piece, None]:
    async for piece in _swallowing():
        if piece is not HELLO:
            yield piece


async def _raising() -> AsyncGenerator[Piece, None]:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ConnectionError("closed") from None
    yield HELLO


@pytest.mark.parametrize("source", [_swallowing, _ending, _raising])
def test_nor_does_such_a_one_spoil_an_answer_that_is_finished(
    source: Callable[[], AsyncGenerator[Piece, None]],
) -> None:
    async def finished() -> AsyncGenerator[Piece, None]:
        yield STOP
        async for piece in source():
            yield piece

    async def cut_off() -> None:
        came, error = await drained(deadlines(finished(), CallWatch(LIMITS)))
        assert (came[0], error) == (STOP, None)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    run(cut_off())


@pytest.mark.parametrize("source", [_swallowing, _ending, _raising])
def test_a_provider_that_makes_something_else_of_the_cancellation_is_cut_off_all_the_same(
    source: Callable[[], AsyncGenerator[Piece, None]],
) -> None:
    async def cut_off() -> None:
        came, error = await drained(deadlines(source(), CallWatch(LIMITS)))
        assert (came, error and error.code) == ([], "first_token_timeout")
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    run(cut_off())


def test_a_request_tightens_and_never_loosens() -> None:
    server = Timeouts(first_token_seconds=10, idle_seconds=40, total_seconds=1_200)
    assert server.tightened(None) == server
    wanted = Timeouts(first_token_seconds=20, idle_seconds=20)
    # What the request does not name is the server's, though the default be shorter.
    assert server.tightened(wanted) == Timeouts(first_token_seconds=10, idle_seconds=20, total_seconds=1_200)
    assert server == Timeouts(first_token_seconds=10, idle_seconds=40, total_seconds=1_200)


@pytest.mark.parametrize("wanted", [Timeouts(), Timeouts(total_seconds=600), Timeouts.interactive()], ids=repr)
def test_what_a_request_names_is_kept_in_its_record_though_it_be_the_default(wanted: Timeouts) -> None:
    server = Timeouts(first_token_seconds=90, idle_seconds=90, total_seconds=1_200)
    stored = Timeouts.model_validate_json(wanted.model_dump_json(exclude_defaults=True))
    assert server.tightened(stored) == server.tightened(wanted)


@pytest.mark.parametrize("field", ["first_token_seconds", "idle_seconds", "total_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "soon"])
def test_a_limit_is_a_time(field: str, seconds: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Timeouts.model_validate({field: seconds})
