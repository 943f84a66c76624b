"""What one request is answered with: how much, how fast, and what goes wrong."""

from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tailrace.errors import CallerError
from tailrace_worker.simulator import tale

HEADER: Final = "x-tailrace-simulate"
"""The request header that tells the scenario in place of the model's name."""

Fault: TypeAlias = Literal["cut", "close", "stall", "malformed", "error"]
_FAULTS: Final[tuple[Fault, ...]] = ("cut", "close", "stall", "malformed", "error")

_Milliseconds = Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)]
_Position = Annotated[int, Field(ge=0)]


class InvalidScenario(CallerError):
    """A scenario has an option that does not exist, or a value that is out of its rule."""


class Scenario(BaseModel):
    """The options of a query string such as `pieces=200&interval_ms=5`, each with its default.

    At most one of the options that end in `_after` may be given; each counts pieces of text, and what it says happens
    when the next piece would have been due.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pieces: Annotated[int, Field(ge=0, le=10_000_000)] = 20
    """How many pieces of text are sent. A given `text` ends, or begins anew, to make up this number."""
    interval_ms: _Milliseconds = 20
    """From one piece to the next; 0 is as fast as the client reads."""
    first_token_ms: _Milliseconds = 0
    """Silence between the headers of the response and the first piece."""
    text: Annotated[str, StringConstraints(min_length=1)] | None = None
    """What is sent, a word a piece; where it is not given, the endless text of `tale`."""
    finish: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")] = "stop"
    """Why the answer ends: a finish reason of tailrace, or any word of the provider's own."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """Answer with this error in place of an answer."""
    times: Annotated[int, Field(ge=1)] | None = None
    """`status` is for the first so many requests of the same model string; without this, for all."""
    retry_after: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1
    """Seconds that the header of status 429 says."""
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
        text = given.get("text")
        return {"pieces": len(tale.cut(text)), **given} if isinstance(text, str) else given

    @model_validator(mode="after")
    def _check_fault(self) -> Self:
        given = [fault for fault in _FAULTS if self._position(fault) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(f'{fault}_after' for fault in given)} exclude each other")
        if self.fault is not None:
            fault, position = self.fault
            last = self.pieces - 1 if fault == "malformed" else self.pieces
            if position > last:
                raise ValueError(f"{fault}_after={position} does not come to pass with pieces={self.pieces}")
        return self

    @cached_property
    def fault(self) -> tuple[Fault, int] | None:
        """What goes wrong in mid-stream, and after how many pieces."""
        for fault in _FAULTS:
            position = self._position(fault)
            if position is not None:
                return fault, position
        return None

    @property
    def pieces_sent(self) -> int:
        """How many pieces come before the answer ends, in the good way or the other."""
        if self.fault is None or self.fault[0] == "malformed":
            return self.pieces
        return self.fault[1]

    @property
    def duration_ms(self) -> float:
        """How long the whole answer takes where nothing goes wrong."""
        return self.first_token_ms + self.pieces * self.interval_ms

    @property
    def text_sent(self) -> str:
        """The text of the answer, as far as the fault: what a client that reads it all has to hold in the end."""
        return "".join(map(self.piece, range(self.fault[1] if self.fault else self.pieces)))

    def piece(self, position: int) -> str:
        """The text of one piece, counted from 0."""
        return self._words[position % len(self._words)] if self._words else tale.piece(position)

    @property
    def encoded_piece(self) -> Callable[[int], bytes]:
        """Gives the piece at a position as a JSON string, quotes included: the same bytes each time, made once."""
        if not self._words:
            return tale.encoded_piece
        words = tuple(map(tale.encoded, self._words))
        return lambda position: words[position % len(words)]

    @cached_property
    def _words(self) -> tuple[str, ...]:
        return tale.cut(self.text) if self.text else ()

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
