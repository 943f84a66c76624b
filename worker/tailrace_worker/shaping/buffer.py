"""Joins crumbs of text into pieces that are worth a look."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias

from tailrace.events import Delta, Reasoning, Refusal
from tailrace.request.limits import Buffering
from tailrace_worker.providers.base import Piece, Usage
from tailrace_worker.shaping.graphemes import likely_cut, safe_cut
from tailrace_worker.shaping.sentences import last_sentence_end

_Text: TypeAlias = type[Delta] | type[Reasoning] | type[Refusal]


async def buffer(
    pieces: AsyncGenerator[Piece, None], buffering: Buffering, left: list[Piece] | None = None
) -> AsyncGenerator[Piece, None]:
    """Passes text on in larger pieces, and all else as it comes, behind the text before it.

    The first text goes at once, and so does what an error or the end leaves. No piece ends inside of a grapheme
    cluster, so that the last one of what has come waits for what follows; where nothing does, the first text and the
    timer let it go too, unless it is of a kind that often goes on: an emoji, a digit, a letter of a script with marks.

    Who is cancelled, or closes the stage, can be given nothing any more: what it holds is added to `left`.
    """
    async with aclosing(pieces):
        joined = _Joined(buffering)
        reading = asyncio.create_task(joined.read(pieces))
        batch = deque[Piece]()
        try:
            while batch := await joined.next():
                while batch:
                    yield batch.popleft()
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if left is not None:
                left += [*batch, *joined.out]


class _Joined:
    """What was read and not passed on yet: pieces that are ready, and behind them the text that is held back.

    The source is read by a task of its own, because a timer cannot interrupt who waits for the source. It reads on
    while the pieces that are ready are on their way, and stops at the next ones.
    """

    def __init__(self, buffering: Buffering) -> None:
        self._max_chars = buffering.max_chars
        self._max_delay_seconds = buffering.max_delay_ms / 1000
        self._at_sentences = buffering.at_sentences
        self._loop = asyncio.get_running_loop()
        self.out = deque[Piece]()
        """What is ready."""
        self._is_waiting = True
        """Whether the source is asked for a piece."""
        self._is_over = False
        self._ready = asyncio.Event()
        self._taken = asyncio.Event()
        self._kind: _Text = Delta
        self._held = ""
        self._has_shown = False
        self._due: float | None = None
        """When the text that is held goes, though nothing comes; `None` where all that may go has gone."""
        self._timer: asyncio.TimerHandle | None = None

    async def next(self) -> deque[Piece]:
        """What is ready, as soon as anything is; nothing once the source has ended."""
        self._taken.set()
        while not (self.out or self._is_over):
            self._ready.clear()
            await self._ready.wait()
        out, self.out = self.out, deque[Piece]()
        return out

    async def read(self, pieces: AsyncGenerator[Piece, None]) -> None:
        """Reads the source to its end. What it has said goes out, however it ends."""
        try:
            async for piece in pieces:
                self._is_waiting = False
                self._take(piece)
                while self.out:
                    self._taken.clear()
                    await self._taken.wait()
                self._is_waiting = True
                self._set_timer()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._pass(len(self._held))
            self._is_over = True
            self._ready.set()

    def _take(self, piece: Piece) -> None:
        match piece:
            case Delta() | Refusal() | Reasoning(signature=None):
                if type(piece) is not self._kind:
                    self._pass(len(self._held))
                    self._kind = type(piece)
                self._hold(piece.text)
            case other:
                # Usage is no part of the answer, and there are providers that tell it with every chunk.
                if not isinstance(other, Usage):
                    self._pass(len(self._held))
                self.out.append(other)
                self._ready.set()

    def _hold(self, text: str) -> None:
        is_first = not (self._held or self._has_shown)
        seen = len(self._held)
        self._held += text
        if len(self._held) >= self._max_chars:
            self._pass(safe_cut(self._held))
        elif self._at_sentences:
            self._pass(last_sentence_end(self._held, seen))
        if self._due is None:
            self._due = self._loop.time()
            if self._has_shown and not is_first:
                self._due += self._max_delay_seconds

    def _set_timer(self) -> None:
        if self._timer is None and self._due is not None:
            self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._due is None or self._loop.time() < self._due:
            self._set_timer()
        # While nobody takes what is ready nothing is read either, and what follows the text may be there already.
        elif self._is_waiting:
            self._pass(likely_cut(self._held))
            self._due = None

    def _pass(self, end: int) -> None:
        """Lets go the text up to there."""
        if not end:
            return
        self.out.append(self._kind(text=self._held[:end]))
        self._held = self._held[end:]
        self._due = None
        self._has_shown = True
        self._ready.set()
