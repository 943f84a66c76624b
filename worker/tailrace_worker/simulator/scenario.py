"""`Scenario`: the answer to one request, with its text, its speed and its fault."""

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
"""The request header that may contain the scenario instead of the model string."""

Fault: TypeAlias = Literal["cut", "close", "stall", "malformed", "error"]
_FAULTS: Final[tuple[Fault, ...]] = ("cut", "close", "stall", "malformed", "error")

_Milliseconds = Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)]
_Position = Annotated[int, Field(ge=0)]
_Pieces = Annotated[int, Field(ge=0, le=10_000_000)]
_Few = Annotated[int, Field(ge=0, le=128)]
_Word = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]


class InvalidScenario(CallerError):
    """A scenario has an option that does not exist, or a value that is not allowed."""


class Scenario(BaseModel):
    """The options of a query string such as `pieces=200&interval_ms=5`, each with its default.

    At most one of the options that end in `_after` may be given. Each counts all pieces, in the order reasoning, text,
    arguments of tools. The fault happens when the next piece would have been due.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pieces: _Pieces = len(sample_text.cut(sample_text.ANSWER))
    """How many pieces of text are sent. A given `text` is cut or repeated to have this number. If neither is given, a
    whole answer in Markdown is sent."""
    interval_ms: _Milliseconds = 20
    """The time from one piece to the next; with 0, pieces are sent as fast as the client reads."""
    first_token_ms: _Milliseconds = 0
    """The delay between the headers of the response and the first piece."""
    text: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The text, one word per piece. If only `pieces` is given, the text is endless numbered lines."""
    blocks: Annotated[int, Field(ge=1, le=128)] = 1
    """Into how many content blocks (Responses: messages) the text is divided. Chat has no such boundaries."""
    refusal: bool = False
    """True if the text is the model's refusal. In Messages, a refusal is only a stop reason, without content."""
    reasoning: _Pieces = 0
    """How many pieces of reasoning come before the text."""
    search: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The query of a web search that the provider makes before the text. The text then cites its result."""
    tools: _Few = 0
    """How many tools are called after the text: those of the request in turn, or else `tool_1` and so on."""
    tool_loop: bool = False
    """True to call tools as a model does in a loop: only if the request names some, and not again after their results.
    The answer to results repeats their texts, and has no fault."""
    unknown: bool = False
    """True to send, before and after each block, events of types that no client knows."""
    finish: _Word | None = None
    """Why the answer ends: a finish reason of tailrace, or any word of the provider's own. If it is not given, it
    follows from the answer."""
    cached_tokens: _Pieces = 0
    """How many input tokens, besides those of the request, the usage reports as read from the provider's cache."""
    reasoning_tokens: _Pieces | None = None
    """How many output tokens the usage reports as reasoning. If it is not given, one token per piece."""
    usage: Literal["after", "before", "with"] = "after"
    """Where Chat sends the usage, if it is requested: after, before or in the event with the finish reason."""
    split: Annotated[int, Field(ge=1)] | None = None
    """Write the body in chunks of this many bytes, wherever they are cut."""
    crlf: bool = False
    """End lines with CR LF."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """The status of an error to send instead of an answer."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How many requests with the same model string have the fault, from the first one on. If not given, all have it."""
    retry_after: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 1
    """The seconds in the header `retry-after` of a status of 429."""
    retry_after_date: bool = False
    """True if that header has a date instead of seconds."""
    error_code: _Word | None = None
    """The code (Messages: the type) of the error that `status` or `error_after` sends, instead of the usual one."""
    error_shape: Literal["nested", "flat", "failed"] = "nested"
    """How Responses sends an error in the middle of a stream. `nested`: an `error` event that contains the error, and
    then `response.failed`, as the real API does. `flat`: an `error` event that is the error, as in the API reference.
    `failed`: only `response.failed`."""
    cut_after: _Position | None = None
    """After this many pieces, reset the connection."""
    close_after: _Position | None = None
    """After this many pieces, end the body correctly, but without the protocol's last events."""
    stall_after: _Position | None = None
    """After this many pieces, send nothing more and keep the connection open."""
    malformed_after: _Position | None = None
    """After this many pieces, send one whose JSON is cut in half, and then go on."""
    error_after: _Position | None = None
    """After this many pieces, send the provider's own error event and end the body."""

    @classmethod
    def parse(cls, model: str) -> Self:
        """Read the options in a model string.

        Args:
            model: The model string. The options are after its first `?`.

        Raises:
            InvalidScenario: An option is wrong. The message names each one.
        """
        return cls.read(model.partition("?")[2])

    @classmethod
    def read(cls, options: str) -> Self:
        """Read the options in a query string.

        Args:
            options: The query string.

        Raises:
            InvalidScenario: An option is wrong. The message names each one.
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
                raise ValueError(f"{fault}_after={position} never happens, because there are only {pieces} pieces")
        return self

    @cached_property
    def fault(self) -> tuple[Fault, int] | None:
        """The fault in the middle of the stream, and after how many pieces it happens; `None` if there is none."""
        for fault in _FAULTS:
            position = self._position(fault)
            if position is not None:
                return fault, position
        return None

    def at(self, attempt: int) -> Self:
        """Return the scenario of one request: without its faults, if `times` requests have had them.

        Args:
            attempt: The number of the request among those with the same model string, from 1.
        """
        return self if self.times is None or attempt <= self.times else self._without_fault()

    def in_loop(self, *, has_tools: bool, results: str | None) -> Self:
        """Return the scenario of one request: with `tool_loop`, it depends on where in a loop of tools the request is.

        Args:
            has_tools: True if the request names tools.
            results: The texts of the results with which the request ends; `None` if it does not end with results.
        """
        if not self.tool_loop or (has_tools and results is None):
            return self
        if results is None:
            return self.model_copy(update={"tools": 0})
        return self._without_fault("pieces", "tools", **({"text": results} if results else {}))

    @property
    def thoughts(self) -> Passage:
        """The reasoning of a whole answer."""
        return sample_text.reasoning(range(self.reasoning))

    @property
    def arguments(self) -> tuple[Passage, ...]:
        """The arguments of each tool call, as JSON in fragments."""
        return tuple(map(sample_text.arguments, range(1, self.tools + 1)))

    @property
    def reasoning_sent(self) -> str:
        """The reasoning up to the fault."""
        return sample_text.reasoning(range(min(self.reasoning, self._last))).text

    @property
    def text_sent(self) -> str:
        """The text of the answer up to the fault. A client that reads all of the answer must have exactly this."""
        return self.passage(range(min(self.pieces, max(0, self._last - self.reasoning)))).text

    def passage(self, positions: range) -> Passage:
        """Return some pieces of the text.

        Args:
            positions: The positions of the pieces, from 0.
        """
        return Passage.of(sample_text.cut(self.text), positions) if self.text else sample_text.text(positions)

    def position_after(self, beginning: str) -> int:
        """Return the position of the first piece after a beginning of the text.

        Args:
            beginning: The beginning.

        Returns:
            The position; 0 if `beginning` is not the beginning of the text, or does not end where a piece ends.
        """
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
        """The value of the header `retry-after`. A date has no fractions of a second, and so is rounded up."""
        if self.retry_after_date:
            return formatdate(math.ceil(time.time() + self.retry_after), usegmt=True)
        return f"{self.retry_after:g}"

    @property
    def _last(self) -> int:
        return self.fault[1] if self.fault else sys.maxsize

    def _without_fault(self, *unset: str, **fields: Any) -> Self:
        """Return this scenario without its fault and some other options, and with new ones."""
        left_out = {"status", *(f"{fault}_after" for fault in _FAULTS), *unset}
        return self.model_validate({**self.model_dump(exclude_unset=True, exclude=left_out), **fields})

    def _position(self, fault: Fault) -> int | None:
        position: int | None = getattr(self, f"{fault}_after")
        return position


def _described(error: ValidationError) -> str:
    return "; ".join(
        f"{part['loc'][0]}: unknown option; the options are {', '.join(Scenario.model_fields)}"
        if part["type"] == "extra_forbidden"
        else f"{part['loc'][0] if part['loc'] else 'options'}: {part['msg']}"
        for part in error.errors(include_url=False)
    )
