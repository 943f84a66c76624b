"""`FaultyStream`: what providers do wrong in calls that are streamed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.support.faulty_call import PASSES, STAYS, FaultyCall
from tests.support.raw_server import END, chunk
from tests.support.wire import sse


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyStream(FaultyCall):
    """One call that is streamed."""

    heard: Callable[[], Awaitable[None]]
    """Returns once the job has some of the answer's text."""

    async def whole(self) -> None:
        """Answers as it should."""
        await self.stream(*map(chunk, self.answer.events), END)

    async def begin(self) -> None:
        """Says the first half of the answer's text."""
        await self.stream(*map(chunk, self._first))
        await self.heard()

    async def cut_inside(self) -> None:
        event = self.answer.texts[self._half]
        await self.begin()
        await self.peer.say(chunk(event)[: len(event) // 2])

    async def cut_between(self) -> None:
        await self.begin()

    async def reset(self) -> None:
        await self.begin()
        self.drop()

    async def end_early(self) -> None:
        await self.begin()
        await self.peer.say(END)

    async def fall_silent(self) -> None:
        await self.begin()
        await self.peer.left()

    async def say_nothing(self) -> None:
        await self.stream()
        await self.peer.left()

    async def tell_passing_error(self) -> None:
        await self.begin()
        await self.peer.say(chunk(sse(PASSES[self.kind])), END)

    async def tell_lasting_error(self) -> None:
        await self.begin()
        await self.peer.say(chunk(sse(STAYS[self.kind])), END)

    async def cut_json(self) -> None:
        await self.begin()
        *_, before, event = self.answer.texts
        await self.peer.say(chunk(before.rstrip()[:-8] + b"\n\n"), chunk(event), *map(chunk, self.answer.closing), END)

    async def break_framing(self) -> None:
        await self.begin()
        await self.peer.say(b"so long\r\n", self.answer.texts[self._half], b"\r\n", END)

    async def repeat(self) -> None:
        twice = [event for event in self.answer.events for _ in range(2)]
        await self.stream(*map(chunk, twice), END)

    async def swap(self) -> None:
        texts = list(self.answer.texts)
        texts[2:4] = reversed(texts[2:4])
        await self.stream(*map(chunk, [*self.answer.opening, *texts, *self.answer.closing]), END)

    async def say_more(self) -> None:
        await self.stream(*map(chunk, [*self.answer.events, *self.answer.texts]), END)

    async def end_after_three(self) -> None:
        await self.stream(*map(chunk, self._without_text(3)), END)

    async def end_after_four(self) -> None:
        await self.stream(*map(chunk, self._without_text(4)), END)

    async def end_empty(self) -> None:
        await self.stream(END)

    async def send_error_body(self) -> None:
        await self.send_error(PASSES)

    async def send_whole(self) -> None:
        await self.send_json(self.answer.body)

    @property
    def _half(self) -> int:
        return len(self.answer.texts) // 2

    @property
    def _first(self) -> list[bytes]:
        return [*self.answer.opening, *self.answer.texts[: self._half]]

    def _without_text(self, number: int) -> list[bytes]:
        *_, last = opening = self.answer.opening
        return [*opening, *[last] * number][:number]


STREAM_FAULTS: Final[Mapping[str, Callable[[FaultyStream], Awaitable[None]]]] = {
    "closes the connection inside an event, after text": FaultyStream.cut_inside,
    "closes the connection between events, after text": FaultyStream.cut_between,
    "resets the connection, after text": FaultyStream.reset,
    "ends the stream without its last event, after text": FaultyStream.end_early,
    "sends a chunk that breaks the framing of HTTP, after text": FaultyStream.break_framing,
    "sends an event whose JSON is cut, after text": FaultyStream.cut_json,
    "sends an error event that may pass, after text": FaultyStream.tell_passing_error,
    "sends an error event that will not pass, after text": FaultyStream.tell_lasting_error,
    "is silent, after text": FaultyStream.fall_silent,
    "is silent after the headers": FaultyStream.say_nothing,
    "ends the stream after three events without text": FaultyStream.end_after_three,
    "ends the stream after four events without text": FaultyStream.end_after_four,
    "ends the stream without any event": FaultyStream.end_empty,
    "sends an error as JSON, with status 200": FaultyStream.send_error_body,
    "sends a web page, with status 200": FaultyStream.send_page,
    "sends a whole answer instead of a stream": FaultyStream.send_whole,
    "sends text after the last event": FaultyStream.say_more,
    "sends each event twice": FaultyStream.repeat,
    "swaps two events": FaultyStream.swap,
}
"""What a provider does wrong, in the words of the documentation."""
