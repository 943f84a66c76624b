"""What one request is answered with: what is said, how fast, and what goes wrong."""

import math
import sys
import time
from email.utils import formatdate
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tailrace.errors import CallerError
from tailrace_worker.simulator import sample_text
from tailrace_worker.simulator.sample_text import Passage

HEADER: Final = "x-tailrace-simulate"
"""The request header that tells the scenario in place of the model's name."""

Fault: TypeAlias = Literal["cut", "close", "stall", "malformed", "error"]
_FAULTS: Final[tuple[Fault, ...]] = ("cut", "close", "stall", "malformed", "error")

_Milliseconds = Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)]
_Position = Annotated[int, Field(ge=0)]
_Pieces = Annotated[int, Field(ge=0, le=10_000_000)]
_Few = Annotated[int, Field(ge=0, le=128)]
_Word = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]


class InvalidScenario(CallerError):
    """A scenario has an option that does not exist, or a value that is out of its rule."""


class Scenario(BaseModel):
    """The options of a query string such as `pieces=200&interval_ms=5`, each with its default.

    At most one of the options that end in `_after` may be given. Each counts the pieces of all that is said, in the
    order reasoning, text, arguments of tools; what it says happens when the next piece would have been due.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pieces: _Pieces = len(sample_text.cut(sample_text.ANSWER))
    """How many pieces of text are sent. A given `text` ends, or begins anew, to make up this number. If neither is
    given, a whole answer in Markdown is sent."""
    interval_ms: _Milliseconds = 20
    """From one piece to the next; 0 is as fast as the client reads."""
    first_token_ms: _Milliseconds = 0
    """Silence between the headers of the response and the first piece."""
    text: Annotated[str, StringConstraints(min_length=1)] | None = None
    """What is sent, a word a piece; if it is not given and `pieces` is, numbered lines without an end."""
    blocks: Annotated[int, Field(ge=1, le=128)] = 1
    """Into how many content blocks (Responses: messages) the text is divided; Chat knows no such borders."""
    refusal: bool = False
    """The text is the model's refusal. Messages has none: there it is a stop reason, and no content."""
    reasoning: _Pieces = 0
    """How many pieces of reasoning come before the text."""
    search: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The provider searches the web for this before the text, which then cites what it found."""
    tools: _Few = 0
    """How many tools are called at once after the text: those of the request in turn, else `tool_1` and so on."""
    unknown: bool = False
    """Between all that is said, say something that nobody has ever heard of."""
    finish: _Word | None = None
    """Why the answer ends: a finish reason of tailrace, or any word of the provider's own. Follows if not given."""
    cached_tokens: _Pieces = 0
    """How many tokens of input, besides those of the request, are told to have come from the provider's cache."""
    reasoning_tokens: _Pieces | None = None
    """How many tokens of output are told to be reasoning; where it is not given, a token a piece."""
    usage: Literal["after", "before", "with"] = "after"
    """Where Chat tells the usage, if asked for it: after, before or with the chunk that has the finish reason."""
    split: Annotated[int, Field(ge=1)] | None = None
    """Write the body in chunks of so many bytes, wherever that cuts."""
    crlf: bool = False
    """End lines with CR LF."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """Answer with this error in place of an answer."""
    times: Annotated[int, Field(ge=1)] | None = None
    """What goes wrong does so for the first so many requests of the same model string; without this, for all."""
    retry_after: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 1
    """Seconds that the header of status 429 says."""
    retry_after_date: bool = False
    """That header says them as a date."""
    error_code: _Word | None = None
    """The code (Messages: the type) of the error that `status` or `error_after` sends, in place of the usual one."""
    error_shape: Literal["nested", "flat", "failed"] = "nested"
    """How Responses sends the error in mid-stream: an `error` event that holds the error, then `response.failed`, as
    seen on the wire; an `error` event that is the error, as in its reference; or `response.failed` alone."""
    cut_after: _Position | None = None
    """After so many pieces, reset the connection."""
    close_after: _Position | None = None
    """After so many pieces, end the body in good order, without the protocol's last words."""
    stall_after: _Position | None = None
    """After so many pieces, say nothing more and keep the connection."""
    malformed_after: _Position | None = None
    """After so many pieces, send one whose JSON is cut in half, then go on."""
    error_after: _Position | None = None
    """After so many pieces, send the provider's own error event and end the body."""

    @classmethod
    def parse(cls, model: str) -> Self:
        """Reads what a model's name says after its first `?`.

        Raises:
            InvalidScenario: The message names each option at fault.
        """
        return cls.read(model.partition("?")[2])

    @classmethod
    def read(cls, options: str) -> Self:
        """Reads a query string.

        Raises:
            InvalidScenario: The message names each option at fault.
        """
        try:
            pairs = parse_qsl(options, keep_blank_values=True, strict_parsing=bool(options), errors="strict")
        except ValueError as error:
            raise InvalidScenario(f"{options!r} is not a query string: {error}.") from None
        given = dict(pairs)
        if len(given) < len(pairs):
            raise InvalidScenario(f"{options!r} gives an option more than once.")
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InvalidScenario(_described(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _count_words(cls, given: dict[str, Any]) -> dict[str, Any]:
        if "pieces" not in given:
            given = {"text": sample_text.ANSWER, **given}
        text = given.get("text")
        return {"pieces": len(sample_text.cut(text)), **given} if isinstance(text, str) else given

    @model_validator(mode="after")
    def _check_fault(self) -> Self:
        given = [fault for fault in _FAULTS if self._position(fault) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(f'{fault}_after' for fault in given)} exclude each other")
        if self.fault is not None:
            fault, position = self.fault
            pieces = self.reasoning + self.pieces + sum(map(len, self.arguments))
            if position > (pieces - 1 if fault == "malformed" else pieces):
                raise ValueError(f"{fault}_after={position} does not come to pass with {pieces} pieces")
        return self

    @cached_property
    def fault(self) -> tuple[Fault, int] | None:
        """What goes wrong in mid-stream, and after how many pieces."""
        for fault in _FAULTS:
            position = self._position(fault)
            if position is not None:
                return fault, position
        return None

    def at(self, attempt: int) -> Self:
        """What the request gets that is this one, counted from 1, with the same model string."""
        if self.times is None or attempt <= self.times:
            return self
        wrong = {"status", *(f"{fault}_after" for fault in _FAULTS)}
        return self.model_validate(self.model_dump(exclude_unset=True, exclude=wrong))

    @property
    def thoughts(self) -> Passage:
        """The reasoning of a whole answer."""
        return sample_text.reasoning(range(self.reasoning))

    @property
    def arguments(self) -> tuple[Passage, ...]:
        """The arguments of each tool that is called: JSON in fragments."""
        return tuple(map(sample_text.arguments, range(1, self.tools + 1)))

    @property
    def reasoning_sent(self) -> str:
        """The reasoning, as far as the fault."""
        return sample_text.reasoning(range(min(self.reasoning, self._last))).text

    @property
    def text_sent(self) -> str:
        """The text of the answer, as far as the fault: what a client that reads it all has to hold in the end."""
        return self.passage(range(min(self.pieces, max(0, self._last - self.reasoning)))).text

    def passage(self, positions: range) -> Passage:
        """Some pieces of the text, counted from 0."""
        return Passage.of(sample_text.cut(self.text), positions) if self.text else sample_text.text(positions)

    def position_after(self, beginning: str) -> int:
        """Where the text goes on after its beginning, if that ends where a piece does; else 0."""
        piece = self.passage(range(self.pieces)).piece
        for position in range(self.pieces):
            if not beginning:
                return position
            if not beginning.startswith(piece(position)):
                return 0
            beginning = beginning[len(piece(position)) :]
        return 0 if beginning else self.pieces

    @property
    def retry_after_header(self) -> str:
        """When to come back, as HTTP says it; a date has no fractions of a second, and is never too early."""
        if self.retry_after_date:
            return formatdate(math.ceil(time.time() + self.retry_after), usegmt=True)
        return f"{self.retry_after:g}"

    @property
    def _last(self) -> int:
        return self.fault[1] if self.fault else sys.maxsize

    def _position(self, fault: Fault) -> int | None:
        position: int | None = getattr(self, f"{fault}_after")
        return position


def _described(error: ValidationError) -> str:
    return "; ".join(
        f"{part['loc'][0]}: there is no such option; there are {', '.join(Scenario.model_fields)}"
        if part["type"] == "extra_forbidden"
        else f"{part['loc'][0] if part['loc'] else 'options'}: {part['msg']}"
        for part in error.errors(include_url=False)
    )
