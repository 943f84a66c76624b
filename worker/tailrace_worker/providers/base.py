"""The `Provider` protocol, and the pieces a provider yields."""

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias

from tailrace.cursor import BEGINNING
from tailrace.errors import ProviderError
from tailrace.events import Box, Delta, FinishReason, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.generation_request import GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many tokens were used so far. Providers repeat it: what is not `None` replaces what was said before."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    def updated(self, said: "Usage") -> "Usage":
        """This, with what was said later."""
        return Usage(**{**asdict(self), **{name: count for name, count in asdict(said).items() if count is not None}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The provider's last word on the answer."""

    reason: FinishReason
    provider_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The provider sent something that readers do not get, such as a comment, a ping or an empty delta."""

    is_whole: bool = False
    """The provider has given the finish reason, but may send more. Until it does, its silence does not count as idle:
    the adapter bounds the wait for the end of the stream."""
    is_held: bool = False
    """It is not the provider that is waited for, from here to the next sign of life: the answer has to wait for room in
    the worker's memory."""


_set_id, _set_text = (getattr(Delta, field).__set__ for field in ("id", "text"))


def text_delta(text: str) -> Delta:
    """`Delta(text=text)`, made for every piece: a frozen dataclass takes twice as long to set its own fields."""
    made = object.__new__(Delta)
    _set_id(made, BEGINNING)
    _set_text(made, text)
    return made


Content: TypeAlias = Delta | Reasoning | Refusal | ToolCall | Notice | Box
Piece: TypeAlias = Content | Usage | Finish


class Provider(Protocol):
    """One way to reach models. One instance serves all the jobs of a worker.

    The pieces of `stream` come as the provider sends them: content is never empty, and exactly one `Finish` comes, as
    the last piece, because a stream that ends without its protocol's last word raises `PROVIDER_INTERRUPTED`. Whatever
    goes wrong is raised as `ProviderError`, nothing else. Closing the generator, or cancelling the task that waits for
    it, closes the connection to the provider at once. There are no retries in here: the caller knows the job.
    """

    @property
    def prefills(self) -> bool:
        """Whether an answer goes on from where the last message, one of the assistant's, ends."""
        ...

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Makes one call; if the request asks for no stream, the whole text comes in one piece."""
        ...


class Unconfigured:
    """Stands in for a provider that cannot be called."""

    prefills = False

    def __init__(self, error: ProviderError, problem: str) -> None:
        self.problem = problem
        """What is wrong, in a few words: the variable that is not set, say. Never its value."""
        self._error = error

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:  # noqa: ARG002
        """Raises the error, anew each time."""
        error = self._error
        raise ProviderError(str(error), code=error.code, retryable=error.retryable) from error
        yield  # type: ignore[unreachable]  # makes it a generator
