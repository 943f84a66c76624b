"""The `Provider` protocol, and the pieces that a provider yields."""

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias

from tailrace.cursor import BEGINNING
from tailrace.errors import ProviderError
from tailrace.events import Box, Citation, Delta, FinishReason, Frames, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.any_request import AnyRequest
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.verbatim_request import VerbatimRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """How many tokens were used so far. If a provider sends usage again, each count in it replaces the earlier one."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    def updated(self, said: "TokenCounts") -> "TokenCounts":
        """Return these counts, updated with later ones.

        Args:
            said: The later counts. `None` leaves an earlier count as it is.
        """
        return TokenCounts(
            **{**asdict(self), **{name: count for name, count in asdict(said).items() if count is not None}}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The end of the answer: the finish reason, and the provider's own word for it."""

    reason: FinishReason
    provider_reason: str
    raw: bytes | None = None
    """The last frames of a verbatim answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A sign of life: the provider sent something that readers do not get, such as a comment or an empty delta."""

    is_whole: bool = False
    """True if the provider has sent the finish reason, but may send more. Until it does, its silence does not count as
    idle, because the adapter limits the wait for the end of the stream."""
    is_held: bool = False
    """True if the answer waits for room in the worker's memory, until the next sign of life. Its silence then does not
    count as the provider's."""


_set_id, _set_raw, _set_text = (getattr(Delta, field).__set__ for field in ("id", "raw", "text"))


def text_delta(text: str, *, raw: bytes | None = None) -> Delta:
    """Return `Delta(text=text, raw=raw)` in half the time that a frozen dataclass takes to set its own fields.

    Args:
        text: The text of the piece.
        raw: The frames of a verbatim answer.
    """
    made = object.__new__(Delta)
    _set_id(made, BEGINNING)
    _set_raw(made, raw)
    _set_text(made, text)
    return made


Content: TypeAlias = Delta | Reasoning | Refusal | ToolCall | Citation | Notice | Box
Piece: TypeAlias = Content | Frames | TokenCounts | Finish


class Provider(Protocol):
    """One way to reach models. One instance serves all jobs of a worker.

    `stream` yields each piece as soon as it arrives. Content is never empty. The range of a citation counts from the
    beginning of this call's text, and the citation comes after that text. The last piece is a `Finish`, and there is
    only one: a stream that ends without the last event of its protocol raises `PROVIDER_INTERRUPTED`. Every failure is
    raised as a `ProviderError`. If the generator is closed, or the task that waits for it is cancelled, the connection
    to the provider is closed at once. A provider never retries a call: that is for the attempt, which knows the job.
    """

    @property
    def prefills(self) -> bool:
        """True if an answer continues the last message, provided that this is one of the assistant's."""
        ...

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call.

        Args:
            request: The request. If it asks for no stream, the whole text is one piece.

        Yields:
            The pieces of the answer, and signs of life between them.

        Raises:
            ProviderError: The call failed.
        """
        ...

    def stream_verbatim(self, request: VerbatimRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call with the body of the request as it is.

        Args:
            request: The request, with a body for this provider's API.

        Yields:
            The pieces of the answer, as `stream` does, with its frames in the order in which they arrived. Each frame
            is on the last piece of its event. If the event has no piece, its frame is on a later piece, or in a piece
            `Frames`.

        Raises:
            ProviderError: The call failed. If the provider has sent the error in a frame, the error has it too.
        """
        ...


class Unconfigured:
    """A provider that cannot be called, in place of one that can."""

    prefills = False

    def __init__(self, error: ProviderError, problem: str) -> None:
        self.problem = problem
        """What is wrong, in a few words, such as the name of a variable that is not set; never a variable's value."""
        self._error = error

    async def stream(self, request: AnyRequest) -> AsyncGenerator[Piece | Alive, None]:  # noqa: ARG002
        """Raise the error, as a new exception each time."""
        error = self._error
        raise ProviderError(str(error), code=error.code, retryable=error.retryable) from error
        yield  # type: ignore[unreachable]  # makes it a generator

    def stream_verbatim(self, request: VerbatimRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Raise the error, as `stream` does."""
        return self.stream(request)
