"""Stops texts that a judge flags. The judge is asked while the answer goes on."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Citation, Delta, Frames, Notice, Reasoning, Refusal
from tailrace_worker.providers.base import Finish, Piece, TokenCounts
from tailrace_worker.shaping.guards.texts import Text

NOT_MODERATED: Final = "not_moderated"
"""The code of the notice that text was shown without a verdict."""

_MAX_AHEAD: Final = 4
"""How many stretches may wait for their verdicts before the provider is no longer read."""


@dataclass(frozen=True, slots=True)
class ModerationVerdict:
    """The categories for which a text was flagged; empty if it was not."""

    categories: tuple[str, ...] = ()


class ModerationFailed(Exception):
    """There is no verdict. The message says why."""


Judge: TypeAlias = Callable[[str], Awaitable[ModerationVerdict]]
"""Judges a text. Raises `ModerationFailed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """How answers are judged: in stretches of `every_chars` characters, each together with the stretch before it.

    The sizes of the pieces do not change where a stretch begins, and so do not change how much is shown of a text that
    is flagged.
    """

    judge: Judge
    every_chars: int
    mode: Literal["strict", "lenient"]
    on_failure: Literal["open", "closed"]


async def moderate(
    pieces: AsyncGenerator[Piece, None], moderation: Moderation, *, said: str = ""
) -> AsyncGenerator[Piece, None]:
    """Pass text on once it is judged, and the pieces after it then. If the mode is `lenient`, pass all on at once.

    If the provider breaks off, the text so far is judged before its error is raised, because that text is shown, and
    another attempt may continue it.

    Args:
        pieces: The pieces of the answer.
        moderation: How to judge.
        said: The text of earlier attempts. Its end is judged together with the first stretch.

    Yields:
        The pieces that were let through.

    Raises:
        ProviderError: A text is flagged, or it has no verdict and `on_failure` is `closed`.
    """
    judging = _Judging(moderation, said)
    # There is no `yield` inside a task group, because any task may close a generator, with any error.
    running = asyncio.create_task(judging.run(pieces))
    try:
        while (shown := await judging.shown.get()) is not None:
            if isinstance(shown, Exception):
                raise shown
            yield shown
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@dataclass(slots=True)
class _Stretch:
    """The part of a text that has arrived since the last stretch."""

    before: str = ""
    text: str = ""
    cited: str = ""
    """The texts of the citations in it, which are judged with it."""
    held: list[Piece] = field(default_factory=list[Piece])


@dataclass(frozen=True, slots=True)
class _Awaited:
    """The pieces that are shown once their verdict has arrived, and all pieces before them are shown."""

    held: list[Piece]
    verdict: asyncio.Task[ModerationVerdict | ModerationFailed] | None = None


class _Judging:
    """The judging of one answer."""

    def __init__(self, moderation: Moderation, said: str) -> None:
        self.shown = asyncio.Queue[Piece | Exception | None](1)
        """The pieces that are let through; then the error, if one ended them, or else `None`."""
        self._moderation = moderation
        self._is_strict = moderation.mode == "strict"
        self._has_failed = False
        self._stretches: dict[type[Text], _Stretch] = {Delta: _Stretch(before=said[-moderation.every_chars :])}
        self._awaited = asyncio.Queue[_Awaited | None](_MAX_AHEAD)

    async def run(self, pieces: AsyncGenerator[Piece, None]) -> None:
        ending: Exception | None = None
        try:
            async with aclosing(pieces), asyncio.TaskGroup() as group:
                group.create_task(self._show())
                try:
                    async for piece in pieces:
                        await self._take(piece, group)
                except ProviderError as broken:
                    ending = broken
                await self._end_texts(group)
                await self._awaited.put(None)
        except ExceptionGroup as failed:
            ending = failed.exceptions[0]
        except Exception as failed:  # noqa: BLE001 - raised where the verdict is read
            ending = failed
        await self.shown.put(ending)

    async def _take(self, piece: Piece, group: asyncio.TaskGroup) -> None:
        if isinstance(piece, TokenCounts | Notice | Frames) or not (self._is_strict or isinstance(piece, Finish)):
            await self.shown.put(piece)
        match piece:
            case Delta() | Reasoning() | Refusal():
                await self._read(piece, group)
            case TokenCounts() | Notice() | Frames():
                pass
            case Citation():
                await self._cite(piece, group)
            case _:
                await self._end_texts(group)
                if self._is_strict or isinstance(piece, Finish):
                    await self._awaited.put(_Awaited([piece]))

    async def _read(self, piece: Text, group: asyncio.TaskGroup) -> None:
        kind, text = type(piece), piece.text
        while text:
            stretch = self._stretches.setdefault(kind, _Stretch())
            part = text[: self._moderation.every_chars - len(stretch.text)]
            text = text[len(part) :]
            stretch.text += part
            if self._is_strict:
                stretch.held.append(kind(text=part))
            if len(stretch.text) == self._moderation.every_chars:
                await self._end_stretch(kind, group)
                self._stretches[kind] = _Stretch(before=stretch.text)
        if isinstance(piece, Reasoning) and piece.signature is not None:
            if self._is_strict:
                stretch = self._stretches.setdefault(kind, _Stretch())
                stretch.held.append(Reasoning(text="", signature=piece.signature))
            await self._end_stretch(kind, group)

    async def _cite(self, piece: Citation, group: asyncio.TaskGroup) -> None:
        """Judge the texts of a citation together with the stretch that it is in, which it does not end."""
        stretch = self._stretches.setdefault(Delta, _Stretch())
        stretch.cited += "".join(f"\n{text}" for text in (piece.url, piece.title, piece.quote) if text)
        if self._is_strict:
            stretch.held.append(piece)
        if len(stretch.cited) >= self._moderation.every_chars:
            await self._awaited.put(_Awaited([], group.create_task(self._verdict(stretch.cited))))
            stretch.cited = ""

    async def _end_texts(self, group: asyncio.TaskGroup) -> None:
        for kind in tuple(self._stretches):
            await self._end_stretch(kind, group)

    async def _end_stretch(self, kind: type[Text], group: asyncio.TaskGroup) -> None:
        stretch = self._stretches.pop(kind, _Stretch())
        said = stretch.text + stretch.cited
        verdict = group.create_task(self._verdict(stretch.before + said)) if said else None
        await self._awaited.put(_Awaited(stretch.held, verdict))

    async def _verdict(self, text: str) -> ModerationVerdict | ModerationFailed:
        try:
            return await self._moderation.judge(text)
        except ModerationFailed as failed:
            return failed

    async def _show(self) -> None:
        while (awaited := await self._awaited.get()) is not None:
            if awaited.verdict is not None:
                await self._heed(await awaited.verdict)
            for piece in awaited.held:
                await self.shown.put(piece)

    async def _heed(self, verdict: ModerationVerdict | ModerationFailed) -> None:
        if isinstance(verdict, ModerationVerdict):
            if verdict.categories:
                message = f"The text was flagged by moderation: {', '.join(verdict.categories)}."
                raise ProviderError(message, code=FailureCode.CONTENT_BLOCKED, retryable=False)
        elif self._moderation.on_failure == "closed":
            message = f"The text could not be moderated, and is not shown: {verdict}"
            raise ProviderError(message, code=FailureCode.CONTENT_BLOCKED, retryable=True) from verdict
        elif not self._has_failed:
            self._has_failed = True
            message = f"The text could not be moderated, and is shown all the same: {verdict}"
            await self.shown.put(Notice(code=NOT_MODERATED, message=message))
