"""What an API of a provider has to say to be simulated."""

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailrace_worker.simulator.sample_text import Passage
from tailrace_worker.simulator.script import Question, Script

COMMENT: Final = b": keep-alive\n\n"
"""What proxies send into a silence."""

PLACE: Final = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands in an event where its piece will."""

Told: TypeAlias = bytes | Iterator[bytes]
"""Events that stand between the pieces, or those of some pieces, one each."""


class Refused(Exception):
    """The request gets an error in place of an answer; without a message, what the provider says with that status."""

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


class Answer(Protocol):
    """One answer, in the words of one wire."""

    def events(self) -> Iterator[Told]:
        """The body of a streamed response: server-sent events, each with the empty line that ends it.

        It is told as it is asked for, once: what comes late may repeat all that was said.
        """
        ...

    def failure(self) -> bytes:
        """The events with which the provider gives up in mid-stream, after what `events` has told so far."""
        ...

    def whole(self) -> object:
        """The JSON of a response that is not streamed."""
        ...


class Wire(Protocol):
    """One API of a provider: it reads requests and writes answers as the provider does, and sends nothing itself."""

    name: str
    path: str
    request_id_header: str

    def read(self, headers: Mapping[str, str], body: Mapping[str, object] | None) -> Question:
        """Reads a request: its JSON object, or `None` where that was none. Raises `Refused`."""
        ...

    def refusal(self, refused: Refused, *, model_name: str, request_id: str) -> object:
        """The JSON of an error response."""
        ...

    def answer(self, question: Question, script: Script, *, request_id: str) -> Answer:
        """What the request is answered."""
        ...


class CarriageReturns:
    """An answer whose lines end with CR LF."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def events(self) -> Iterator[Told]:
        for told in self._answer.events():
            yield _returned(told) if isinstance(told, bytes) else map(_returned, told)

    def failure(self) -> bytes:
        return _returned(self._answer.failure())

    def whole(self) -> object:
        return self._answer.whole()


class Body(BaseModel):
    """What every request body holds; fields that the simulator has no use for are passed over, as they are many."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    stream: bool = False


Conversation: TypeAlias = Annotated[list[dict[str, Any]], Field(min_length=1)]
BodyT = TypeVar("BodyT", bound=Body)


def estimated_tokens(conversation: object) -> int:
    """About four characters a token."""
    return 1 + len(json.dumps(conversation)) // 4


def bearer_token(headers: Mapping[str, str]) -> str:
    """What `authorization: Bearer` says; empty where it says nothing."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def first_fault(error: ValidationError) -> tuple[str, bool, str]:
    """The field that a provider would name first, whether it is missing, and the rule that it breaks."""
    fault = error.errors(include_url=False)[0]
    return ".".join(map(str, fault["loc"])), fault["type"] == "missing", fault["msg"]


def new_id(prefix: str) -> str:
    """An id as providers write them: a prefix that tells what it is of, and enough randomness."""
    return f"{prefix}{secrets.token_hex(12)}"


def server_sent_event(data: object, *, event: str | None = None) -> bytes:
    """One event, in the compact JSON that providers write."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def piecewise(event: bytes, passage: Passage) -> Iterator[bytes]:
    """An event, once for each piece of a passage, which takes `PLACE`."""
    # From the right: a model's name may hold anything, and stands to the left of what is said.
    before, _, after = event.rpartition(f'"{PLACE}"'.encode())
    return (before + piece + after for piece in passage.encoded())


def _returned(events: bytes) -> bytes:
    # None stands in JSON, which escapes them.
    return events.replace(b"\n", b"\r\n")
