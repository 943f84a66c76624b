"""`FaultyBody`: what providers do wrong in calls that are not streamed."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.support.faulty_call import PASSES, STAYS, FaultyCall
from tests.support.raw_server import END, chunk

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyBody(FaultyCall):
    """One call that is not streamed."""

    async def whole(self) -> None:
        """Answers as it should."""
        await self.send_json(self.answer.body)

    async def cut_inside(self) -> None:
        await self.send(_JSON, self._half, length=len(self._body))

    async def cut_after_headers(self) -> None:
        await self.send(_JSON, b"", length=len(self._body))

    async def reset(self) -> None:
        await self.cut_inside()
        self.drop()

    async def break_framing(self) -> None:
        await self.begin_chunks(_JSON, b"so long\r\n", self._body, b"\r\n", END)

    async def fall_silent(self) -> None:
        await self.cut_inside()
        await self.peer.left()

    async def say_nothing(self) -> None:
        await self.cut_after_headers()
        await self.peer.left()

    async def send_nothing(self) -> None:
        await self.send(_JSON, b"")

    async def cut_json(self) -> None:
        await self.send(_JSON, self._half)

    async def say_more(self) -> None:
        await self.send(_JSON, self._body * 2)

    async def tell_passing_error(self) -> None:
        await self.send_error(PASSES)

    async def tell_lasting_error(self) -> None:
        await self.send_error(STAYS)

    async def stream_answer(self) -> None:
        await self.stream(*map(chunk, self.answer.events), END)

    @property
    def _body(self) -> bytes:
        return json.dumps(self.answer.body).encode()

    @property
    def _half(self) -> bytes:
        return self._body[: len(self._body) // 2]


BODY_FAULTS: Final[Mapping[str, Callable[[FaultyBody], Awaitable[None]]]] = {
    "closes the connection inside the body": FaultyBody.cut_inside,
    "closes the connection after the headers": FaultyBody.cut_after_headers,
    "resets the connection inside the body": FaultyBody.reset,
    "breaks the framing of HTTP with its first chunk": FaultyBody.break_framing,
    "is silent inside the body": FaultyBody.fall_silent,
    "is silent after the headers": FaultyBody.say_nothing,
    "sends an empty body": FaultyBody.send_nothing,
    "sends a body whose JSON is cut": FaultyBody.cut_json,
    "sends text after the JSON": FaultyBody.say_more,
    "sends an error that may pass, with status 200": FaultyBody.tell_passing_error,
    "sends an error that will not pass, with status 200": FaultyBody.tell_lasting_error,
    "sends a web page, with status 200": FaultyBody.send_page,
    "streams its answer": FaultyBody.stream_answer,
}
"""What a provider does wrong, in the words of the documentation."""
