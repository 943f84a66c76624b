"""Joins small pieces of text into larger ones."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias

from tailrace.events import Delta, Reasoning, Refusal
from tailrace.request.limits import Buffering
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.graphemes import likely_cut, safe_cut
from tailrace_worker.shaping.sentences import last_sentence_end

_Text: TypeAlias = type[Delta] | type[Reasoning] | type[Refusal]


async def buffer(
    pieces: AsyncGenerator[Piece, None], buffering: Buffering, left: list[Piece] | None = None
) -> AsyncGenerator[Piece, None]:
    """Pass text on in larger pieces, and each other piece at once, after the text before it.

    The first text is passed on at once, and so is the rest before an error or the end. No piece ends inside a grapheme
    cluster, so the last cluster waits for more text. If none arrives, the last cluster is passed on too, with the first
    text or when the timer fires, unless such a cluster often continues: an emoji, a digit, a letter of a script with
    marks.

    Args:
        pieces: The pieces of the answer.
        buffering: How much text is joined, and for how long it may wait.
        left: If the stage is cancelled or closed, the pieces that it holds are added to this list.

    Yields:
        The joined pieces.
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
    """The pieces that are read and not passed on yet: those that are ready, and after them the text that is held back.

    Another task reads the source, because a timer cannot interrupt a task that waits for the source. That task reads on
    while the ready pieces are being passed on, and stops as soon as more pieces are ready.
    """

    def __init__(self, buffering: Buffering) -> None:
        self._max_chars = buffering.max_chars
        self._max_delay_seconds = buffering.max_delay_ms / 1000
        self._at_sentences = buffering.at_sentences
        self._loop = asyncio.get_running_loop()
        self.out = deque[Piece]()
        """The pieces that are ready."""
        self._is_waiting = True
        """True while the source is asked for a piece."""
        self._is_over = False
        self._ready = asyncio.Event()
        self._taken = asyncio.Event()
        self._kind: _Text = Delta
        self._held = ""
        self._has_shown = False
        self._due: float | None = None
        """When the held text is passed on if no more arrives, in the time of the event loop; `None` if none may be."""
        self._timer: asyncio.TimerHandle | None = None

    async def next(self) -> deque[Piece]:
        """Wait until pieces are ready, and return them; empty once the source has ended."""
        self._taken.set()
        while not (self.out or self._is_over):
            self._ready.clear()
            await self._ready.wait()
        out, self.out = self.out, deque[Piece]()
        return out

    async def read(self, pieces: AsyncGenerator[Piece, None]) -> None:
        """Read the source to its end. All text that was read becomes ready, even if the source fails."""
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
                # Usage is not part of the answer, and some providers send it with every event.
                if not isinstance(other, TokenCounts):
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
        # While ready pieces are not taken, the source is not read, and more text may have arrived there already.
        elif self._is_waiting:
            self._pass(likely_cut(self._held))
            self._due = None

    def _pass(self, end: int) -> None:
        """Make the held text ready, up to a position."""
        if not end:
            return
        self.out.append(self._kind(text=self._held[:end]))
        self._held = self._held[end:]
        self._due = None
        self._has_shown = True
        self._ready.set()
