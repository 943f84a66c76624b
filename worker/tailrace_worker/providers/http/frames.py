"""`AnswerFrames`: the frames of a verbatim answer, and the pieces that carry them to the job's stream."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from tailrace.errors import ProviderError
from tailrace.events import Citation, Delta, Frames, Notice, Reasoning, Refusal, ToolCall
from tailrace.raw_frames import encode_frame
from tailrace_worker.providers.base import Finish, Piece, text_delta
from tailrace_worker.providers.errors import ErrorEvent, EventsLost

_CARRIERS: Final = (Delta, Reasoning, Refusal, ToolCall, Citation, Notice)
_HELD_AT_BEGINNING: Final = 3
"""How many frames at the beginning of an answer wait for content: what Messages and Responses send before the first
block or item. Until a frame is passed on, a call that fails can be made again without a trace."""


class AnswerFrames:
    """The frames that have arrived and that no piece has carried yet."""

    def __init__(self) -> None:
        self.are_done = False
        """True once `[DONE]` was among the frames. Nothing follows it in any protocol."""
        self._raw = bytearray()
        self._count = 0

    def add(self, name: bytes, data: bytes) -> None:
        """Add a frame.

        Args:
            name: The name of the event; `b""` if it has none.
            data: The data.
        """
        self._raw += encode_frame(name, data)
        self._count += 1
        self.are_done = self.are_done or data.strip() == b"[DONE]"

    def carried(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Put the frames on the last of the pieces of an event: nobody gets a frame before all of its text.

        Args:
            pieces: The pieces of the event that was added last. If none of them becomes an event of the job, the frames
                wait.

        Yields:
            The same pieces.
        """
        held: list[Piece] = []
        try:
            for piece in pieces:
                if isinstance(piece, _CARRIERS):
                    yield from held
                    held = [piece]
                elif held:
                    held.append(piece)
                else:
                    yield piece
        except Exception:
            yield from held
            raise
        for piece in held:
            if isinstance(piece, Delta):
                yield text_delta(piece.text, raw=self._take())
            elif isinstance(piece, _CARRIERS):
                yield replace(piece, raw=self._take())
            else:
                yield piece

    def waiting(self) -> Iterator[Frames]:
        """Yield the frames that wait as a piece of their own, unless there are none or the answer has just begun."""
        if self._raw and self._count > _HELD_AT_BEGINNING:
            yield Frames(raw=self._take())

    def finishing(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Put the frames that wait on the `Finish`.

        Args:
            pieces: The last pieces of the answer.

        Yields:
            The same pieces.
        """
        for piece in pieces:
            yield replace(piece, raw=self._take()) if isinstance(piece, Finish) and self._raw else piece

    @contextmanager
    def failing(self, redacted: Callable[[str], str]) -> Generator[None]:
        """Put the frames that wait on the error of the block, if the provider itself has sent the error in a frame.

        Otherwise they are dropped: a front takes the frames of a `failed` for the error, and adds none of its own. They
        are dropped too if they quote a key of the worker.

        Args:
            redacted: Returns a text without keys.
        """
        try:
            yield
        except ProviderError as error:
            if isinstance(error.__cause__, ErrorEvent) and not isinstance(error.__cause__, EventsLost):
                raw = self._take()
                text = raw.decode(errors="replace")
                error.raw = raw if raw and redacted(text) == text else None
            raise

    def _take(self) -> bytes:
        raw = bytes(self._raw)
        self._raw.clear()
        return raw
