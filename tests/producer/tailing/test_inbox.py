"""The buffer of a tail, in a time that passes at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tailrace.cursor import EntryId
from tailrace.events import Delta
from tailrace.tailing.inbox import Inbox
from tests.support.virtual_time import now, run


class Source:
    """Fills nothing by itself."""

    def resume(self, inbox: Inbox) -> None:
        """Nothing waits."""

    async def leave(self, inbox: Inbox) -> None:
        """Nothing holds it."""


def opened(keep_alive_seconds: float | None = None) -> Inbox:
    return Inbox(Source(), EntryId(1, 1), opened_at=0, keep_alive_seconds=keep_alive_seconds)


def put(inbox: Inbox, seq: int) -> None:
    inbox.put([Delta(id=EntryId(1, seq), text="x")], 10, EntryId(1, seq))


def test_a_silence_ends_the_wait_as_often_as_it_lasts_for_so_long() -> None:
    async def play() -> None:
        inbox = opened(keep_alive_seconds=15)
        for number in range(1, 4):
            assert await inbox.take() == []
            assert (inbox.is_silent, now()) == (True, 15 * number)
            assert inbox.keep_alive is not None
            inbox.keep_alive.restart()

    run(play())


def test_a_wait_that_is_given_up_again_and_again_does_not_begin_the_silence_anew() -> None:
    async def play() -> None:
        inbox = opened(keep_alive_seconds=15)
        for _ in range(14):
            try:
                await asyncio.wait_for(inbox.take(), 1)
            except TimeoutError:
                continue
        assert await inbox.take() == []
        assert now() == 15

    run(play())


def test_a_silence_that_passed_while_nobody_waited_is_told_at_once() -> None:
    async def play() -> None:
        inbox = opened(keep_alive_seconds=15)
        await asyncio.sleep(20)
        assert await inbox.take() == []
        assert (inbox.is_silent, now()) == (True, 20)

    run(play())


def test_a_thousand_events_that_come_in_time_set_a_timer_as_rarely_as_a_silence_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_at: list[float] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def noted(when: float, callback: Callable[..., object], *given: Any, **more: Any) -> asyncio.TimerHandle:
            if getattr(callback, "__qualname__", "").startswith("KeepAliveTimer"):
                set_at.append(now())
            return call_at(when, callback, *given, **more)

        monkeypatch.setattr(loop, "call_at", noted)
        inbox = opened(keep_alive_seconds=15)
        assert inbox.keep_alive is not None
        for seq in range(2, 1_002):
            loop.call_later(0.1, put, inbox, seq)
            assert await inbox.take() != []
            inbox.keep_alive.restart()
        assert not inbox.is_silent
        assert now() == pytest.approx(100)

    run(play())
    assert len(set_at) == 7


def test_an_inbox_that_was_closed_takes_no_events_and_has_no_timer() -> None:
    async def play() -> None:
        inbox = opened(keep_alive_seconds=15)
        waiting = asyncio.ensure_future(inbox.take())
        await asyncio.sleep(1)
        inbox.close()
        put(inbox, 2)
        assert await waiting is None
        assert inbox.cursor == EntryId(1, 1)
        # The loop of the test would jump to the timer, if there were one.
        await asyncio.sleep(0.5)
        assert now() == 1.5

    run(play())


def test_the_first_read_is_waited_for_until_there_is_something_to_tell() -> None:
    async def play() -> None:
        happenings: tuple[Callable[[Inbox], None], ...] = (Inbox.confirm, Inbox.close, lambda inbox: put(inbox, 2))
        for happen in happenings:
            inbox = opened()
            waiting = asyncio.ensure_future(inbox.opened())
            await asyncio.sleep(0)
            assert not waiting.done()
            happen(inbox)
            await waiting

    run(play())
