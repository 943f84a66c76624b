"""The `SimulatedApi` protocol, which each simulated API implements, and what the implementations share."""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Annotated, Any, Final, Protocol, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailrace_worker.simulator.sample_text import Passage
from tailrace_worker.simulator.script import AnswerScript, Question

COMMENT: Final = b": keep-alive\n\n"
"""The comment that proxies send to keep a silent connection open."""

PLACE: Final = "\N{OBJECT REPLACEMENT CHARACTER}"
"""The place in an event at which its piece is inserted."""

Told: TypeAlias = bytes | Iterator[bytes]
"""Events between pieces, as bytes, or an iterator over the events of some pieces."""


class Refused(Exception):
    """The request gets an error instead of an answer. Without a message, it has the provider's usual one."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after


class SimulatedAnswer(Protocol):
    """One answer, as one wire protocol writes it."""

    def events(self) -> Iterator[Told]:
        """Yield the body of a streamed response: server-sent events, each with the empty line that ends it.

        Each event is made when it is needed, and only once, because late events may repeat the whole answer.
        """
        ...

    def failure(self) -> bytes:
        """Return the events with which the provider fails in the middle of a stream, after those yielded so far."""
        ...

    def whole(self) -> object:
        """Return the JSON of a response that is not streamed."""
        ...


class SimulatedApi(Protocol):
    """One API of a provider. It reads requests and writes answers as the provider does, but sends nothing."""

    name: str
    path: str
    request_id_header: str

    def read(self, headers: Mapping[str, str], body: Mapping[str, object] | None) -> Question:
        """Read a request.

        Args:
            headers: The headers of the request.
            body: Its JSON object; `None` if the body is not one.

        Raises:
            Refused: The provider would reject the request.
        """
        ...

    def refusal(self, refused: Refused, *, model_name: str, request_id: str) -> object:
        """Return the JSON of an error response."""
        ...

    def answer(self, question: Question, script: AnswerScript, *, request_id: str) -> SimulatedAnswer:
        """Return the answer to a request."""
        ...


class CarriageReturns:
    """An answer whose lines end with CR LF."""

    def __init__(self, answer: SimulatedAnswer) -> None:
        self._answer = answer

    def events(self) -> Iterator[Told]:
        for told in self._answer.events():
            yield _returned(told) if isinstance(told, bytes) else map(_returned, told)

    def failure(self) -> bytes:
        return _returned(self._answer.failure())

    def whole(self) -> object:
        return self._answer.whole()


class Body(BaseModel):
    """The fields that all request bodies have. Fields that the simulator does not need are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    stream: bool = False


Conversation: TypeAlias = Annotated[list[dict[str, Any]], Field(min_length=1)]
BodyT = TypeVar("BodyT", bound=Body)


def estimated_tokens(conversation: object) -> int:
    """Return an estimate of a conversation's tokens: one for every four characters."""
    return 1 + len(json.dumps(conversation)) // 4


def joined_results(newest_first: Iterable[object]) -> str | None:
    """Join the texts of the results of tools with which a request ends.

    Args:
        newest_first: The content of each result, as a text or as parts, from the newest on. What is no result is
            `None`.

    Returns:
        The texts, the oldest first, with a space between two; `None` if the request does not end with a result.
    """
    texts = [_text(content) for content in takewhile(lambda content: content is not None, newest_first)]
    return " ".join(reversed(texts)) if texts else None


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the token of the header `authorization: Bearer`; empty if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def first_fault(error: ValidationError) -> tuple[str, bool, str]:
    """Return the field that a provider would name first, whether it is missing, and the rule that it breaks."""
    fault = error.errors(include_url=False)[0]
    return ".".join(map(str, fault["loc"])), fault["type"] == "missing", fault["msg"]


def new_id(prefix: str) -> str:
    """Return a new id in the form of providers' ids: the prefix of its kind, and random characters."""
    return f"{prefix}{secrets.token_hex(12)}"


def server_sent_event(data: object, *, event: str | None = None) -> bytes:
    """Return one server-sent event, with the compact JSON that providers write.

    Args:
        data: The data of the event.
        event: Its name; `None` for an event without a name.
    """
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def piecewise(event: bytes, passage: Passage) -> Iterator[bytes]:
    """Return an event for each piece of a passage.

    Args:
        event: The event, with `PLACE` where the piece goes.
        passage: The pieces.
    """
    # The search is from the right, because the model's name, which may contain anything, is left of `PLACE`.
    before, _, after = event.rpartition(f'"{PLACE}"'.encode())
    return (before + piece + after for piece in passage.encoded())


def _text(content: object) -> str:
    match content:
        case str():
            return content
        case list():
            return "".join(_text(part) for part in cast("list[object]", content))
        case {"text": str() as text}:
            return text
        case _:
            return ""


def _returned(events: bytes) -> bytes:
    # JSON contains no line ends, because it escapes them.
    return events.replace(b"\n", b"\r\n")
