"""What an API of a provider has to say to be simulated."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailrace_worker.simulator.scenario import Scenario


class Refused(Exception):
    """The request gets an error in place of an answer; without a message, what the provider says with that status."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a request asks for, in any of the protocols."""

    model: str
    """As the client wrote it, options included."""
    stream: bool
    include_usage: bool
    input_tokens: int

    @property
    def model_name(self) -> str:
        """The model without its options, as an answer repeats it."""
        return self.model.partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The server-sent events of one answer, each with the empty line that ends it."""

    opening: bytes
    piece: Callable[[int], bytes]
    """The event of the piece at a position."""
    closing: bytes
    """All that follows the last piece of a good answer."""
    failure: bytes
    """The event with which the provider gives up in mid-stream."""


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

    def answer(self, question: Question, scenario: Scenario) -> object:
        """The JSON of a response that is not streamed."""
        ...

    def events(self, question: Question, scenario: Scenario, *, request_id: str) -> Events:
        """The body of a response that is streamed."""
        ...


class Body(BaseModel):
    """What every request body holds; fields that the simulator has no use for are passed over, as they are many."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: bool = False

    @property
    def input_tokens(self) -> int:
        """About four characters a token."""
        return 1 + len(json.dumps(self.messages)) // 4


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
