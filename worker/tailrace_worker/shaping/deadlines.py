"""The timeouts of a call: ends it if the provider is silent for too long, or takes too long in all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Frames, Notice
from tailrace.request.limits import Timeouts
from tailrace_worker.providers.base import Alive, Finish, Piece, TokenCounts

_NO_CONTENT: Final = (TokenCounts, Notice, Frames)
"""Pieces that do not count as the first content of an answer."""
_TURNS: Final = 3
"""How many iterations of the event loop pass between a deadline and the cancellation. After a worker was blocked, it
reads its sockets in one iteration, and the tasks that wait for them run in the next."""


async def deadlines(pieces: AsyncGenerator[Piece | Alive, None], watch: "CallWatch") -> AsyncGenerator[Piece, None]:
    """Pass the pieces on while the deadlines hold.

    Args:
        pieces: The pieces of the provider, and signs of life.
        watch: The deadlines.

    Yields:
        The pieces, without the signs of life.

    Raises:
        ProviderError: A deadline has passed. The source is closed.
    """
    async with aclosing(pieces):
        with watch:
            watch.wait()
            async for piece in pieces:
                watch.hear(piece)
                if not isinstance(piece, Alive):
                    watch.rest()
                    yield piece
                    watch.wait()


class CallWatch:
    """The deadlines of one call. Once one has passed, the wait for a piece ends with an error that names the deadline.

    The task that reads the pieces enters the watch in a `with` block. If another task reads on, it enters the watch
    again. One timer serves all pieces: when it fires, it checks whether a deadline has passed, and is set again. Only a
    waiting task is cancelled, and a provider counts as idle only while a task waits for it.

    The end of the block raises `ProviderError` if a deadline has passed, unless the answer has finished.
    """

    __slots__ = (
        "_cancelling",
        "_cut",
        "_first_by",
        "_has_token",
        "_held_since",
        "_is_finished",
        "_is_whole",
        "_loop",
        "_since",
        "_task",
        "_timeouts",
        "_timer",
        "_total_by",
    )

    def __init__(self, timeouts: Timeouts) -> None:
        """Start the clocks. The provider has to be called now.

        Args:
            timeouts: The limits, in seconds.
        """
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._first_by = self._since + timeouts.first_token_seconds
        self._total_by = self._since + timeouts.total_seconds
        self._has_token = False
        self._is_finished = False
        self._is_whole = False
        """True once the provider has sent the finish reason. From then on, only the total limit counts."""
        self._held_since: float | None = None
        """Since when the worker, and not the provider, delays the answer; `None` if it does not."""
        self._timer: asyncio.Handle | None = None
        self._task: asyncio.Task[object] | None = None
        """The task that waits for a piece; `None` if none does."""
        self._cancelling = 0
        self._cut: ProviderError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._stop()
        if self._cut is None or self._task is None:
            return False
        # As in `asyncio.timeout`: if other code has cancelled the task too, it stays cancelled.
        if self._task.uncancel() <= self._cancelling and exc is not self._cut:
            if self._is_finished:
                return True
            raise self._cut from exc
        return False

    def wait(self) -> None:
        """Note that the current task waits for the next piece from now on.

        Raises:
            ProviderError: The total limit has passed.
        """
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        now = self._since = self._loop.time()
        if self._timer is None:
            self._set()
        if now >= self._total_by and not self._is_finished:
            raise self._passed(now)

    def hear(self, piece: Piece | Alive) -> None:
        """Note that a piece has arrived, and that the task waits for the next one.

        Args:
            piece: The piece, or a sign of life.

        Raises:
            ProviderError: A deadline has passed.
        """
        if self._cut is not None and not self._is_finished:
            # A piece arrived together with the cancellation, which was lost: `asyncio.wait_for` of Python 3.11 does so.
            raise self._cut
        now = self._since = self._loop.time()
        if self._held_since is not None:
            self._first_by += now - self._held_since
            self._held_since = None
            self._stop()
            self._set()
        if isinstance(piece, Alive):
            self._is_whole = piece.is_whole
            self._held_since = now if piece.is_held else None
        elif self._is_whole or not (self._has_token or isinstance(piece, _NO_CONTENT)):
            self._has_token = self._has_token or not isinstance(piece, _NO_CONTENT)
            self._is_whole = False
            self._stop()
            self._set()
        if type(piece) is Finish:
            self._is_finished = True
        # If pieces are always ready, the timer never finds a task that waits.
        if now >= self._total_by and not self._is_finished:
            raise self._passed(now)

    def rest(self) -> None:
        """Note that no task waits until the next `wait`."""
        self._task = None

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self._timer = self._loop.call_at(self._due, self._ring)

    @property
    def _due(self) -> float:
        if self._is_whole or self._held_since is not None:
            return self._total_by
        soonest = self._since + self._timeouts.idle_seconds if self._has_token else self._first_by
        return min(soonest, self._total_by)

    def _ring(self, turns: int = _TURNS) -> None:
        self._timer = None
        if self._task is None:
            return
        now = self._loop.time()
        if now < self._due:
            self._set()
        elif turns and now < self._total_by:
            self._timer = self._loop.call_soon(self._ring, turns - 1)
        else:
            self._cut = self._passed(now)
            self._task.cancel()

    def _passed(self, now: float) -> ProviderError:
        limits = self._timeouts
        if now >= self._total_by:
            code, limit = FailureCode.TOTAL_TIMEOUT, f"The generation took longer than {limits.total_seconds:g} s"
        elif self._has_token:
            code, limit = FailureCode.IDLE_TIMEOUT, f"The provider was silent for {limits.idle_seconds:g} s"
        else:
            code, limit = (
                FailureCode.FIRST_TOKEN_TIMEOUT,
                f"The provider sent nothing within {limits.first_token_seconds:g} s",
            )
        return ProviderError(f"{limit} (`{code.removesuffix('_timeout')}_seconds`).", code=code, retryable=True)
