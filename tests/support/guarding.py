"""Streams to guard: sources that are cut anywhere, and what came out of a stage."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from hypothesis import strategies as st

from tailrace import ProviderError
from tailrace.events import Delta, Reasoning, Refusal
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.shaping.guards.compiler import GuardCompiler, RulesOf
from tailrace_worker.shaping.guards.texts import Text
from tests.support.cutting import cut

STOP = Finish(reason="stop", provider_reason="stop")
rules_of: RulesOf = GuardCompiler().rules_of
"""Compiles the rules of a guard, once for all tests of a process."""

KINDS: tuple[type[Text], ...] = (Delta, Reasoning, Refusal)

broken_text: st.SearchStrategy[str] = st.text(
    st.sampled_from("ab1 \n\x00\x1b\x85\u202e\u2066\ud83d\ude00\udfffé😀秘")
) | st.text(st.characters())


def deltas(text: str, lengths: Iterable[int]) -> list[Piece]:
    """The text as it is streamed, and the end."""
    return [*(Delta(text=chunk) for chunk in cut(text, lengths)), STOP]


class Source:
    """A provider that says what it is told to, and then is silent where it is to stay `open`."""

    def __init__(self, pieces: Iterable[Piece], *, stays_open: bool = False) -> None:
        self._pieces = tuple(pieces)
        self._stays_open = stays_open
        self.is_closed = False
        self.given = 0

    async def stream(self) -> AsyncGenerator[Piece, None]:
        try:
            for piece in self._pieces:
                self.given += 1
                yield piece
            if self._stays_open:
                await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def drained(stage: AsyncGenerator[Piece, None]) -> tuple[list[Piece], ProviderError | None]:
    """What came, and what ended it if that was not the end."""
    came: list[Piece] = []
    try:
        async with aclosing(stage), asyncio.timeout(20):
            # What came before an error counts, too.
            async for piece in stage:
                came.append(piece)  # noqa: PERF401
    except ProviderError as error:
        return came, error
    return came, None


def read(stage: AsyncGenerator[Piece, None]) -> tuple[list[Piece], ProviderError | None]:
    """The same, from where no loop runs."""
    return asyncio.run(drained(stage))


def text_of(pieces: Iterable[Piece], kind: type[Text] = Delta) -> str:
    """One of the texts, joined."""
    texts = [piece.text for piece in pieces if isinstance(piece, Delta | Reasoning | Refusal) if type(piece) is kind]
    assert all(texts), "a piece of text is never empty"
    return "".join(texts)
