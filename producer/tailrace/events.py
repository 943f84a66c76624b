"""What a stream says: the events of a job, from `queued` to its ending."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from tailrace.cursor import BEGINNING, EntryId

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    type: ClassVar[str]
    id: EntryId = BEGINNING
    """The cursor to go on from after this event: `str(event.id)`. Set by whoever reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(_Event):
    """The job was accepted."""

    type: ClassVar[Literal["queued"]] = "queued"
    at: int
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Event):
    """An attempt begins. What earlier attempts said is void, unless `continues`."""

    type: ClassVar[Literal["started"]] = "started"
    at: int
    attempt: int
    provider: str
    model: str
    worker: str
    token: str | None = None
    """Tells this start from another one of the same number, should Redis have lost either."""
    reason: str | None = None
    """Why there is another attempt, from the second one on."""
    continues: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta(_Event):
    """Text of the answer."""

    type: ClassVar[Literal["delta"]] = "delta"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning(_Event):
    """Text of the model's thinking, or the signature that closes a block of it."""

    type: ClassVar[Literal["reasoning"]] = "reasoning"
    text: str
    signature: str | None = None
    """What a later turn has to give back, as it came, together with the text of the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(_Event):
    """Text with which the model declines."""

    type: ClassVar[Literal["refusal"]] = "refusal"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(_Event):
    """A fragment of a tool call: `arguments` are to be joined per `index`."""

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    index: int
    call_id: str | None = dataclasses.field(default=None, metadata={"wire": "id"})
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box(_Event):
    """A bounding box found in the text, with the range of characters in which it stands."""

    type: ClassVar[Literal["box"]] = "box"
    x1: float
    y1: float
    x2: float
    y2: float
    label: str | None = None
    start: int
    end: int
    scale: int | None = None
    """The number for the full width or height of the image: `x1 / scale * width` is in pixels.

    It is 1 for fractions, and 999, 1000 or 1024 for models with such a notation. `None` means that the numbers are
    pixels, or that the text does not tell: Qwen writes `bbox_2d` either way.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(_Event):
    """Something a person should know."""

    type: ClassVar[Literal["notice"]] = "notice"
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending(_Event):
    at: int
    input_tokens: int | None = None
    """Tokens are as the provider counts them: those of OpenAI contain the cached ones, those of Anthropic do not."""
    output_tokens: int | None = None
    """With those of the reasoning."""
    cached_input_tokens: int | None = None
    """Tokens that the provider read from its cache, at a lower price."""
    cache_write_input_tokens: int | None = None
    """Tokens that the provider wrote to its cache for later requests, at a higher price."""
    reasoning_tokens: int | None = None
    queued_ms: int | None = None
    """From enqueue to the beginning of the attempt that ended."""
    ttft_ms: int | None = None
    """From the provider call to its first token."""
    duration_ms: int | None = None
    """From the beginning of the attempt to its ending."""
    tokens_per_second: float | None = None
    """Output tokens over the time from the first token to the ending."""
    provider: str | None = None
    """The provider that answered, or was called last: with a fallback not the one that the request names first."""
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(_Ending):
    """The ending of a job whose provider said all it had to say."""

    type: ClassVar[Literal["completed"]] = "completed"
    finish_reason: FinishReason
    provider_finish_reason: str | None = None
    """The provider's own word for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(_Ending):
    """The ending of a job that could not be completed; `code` is one of `errors.FailureCode`."""

    type: ClassVar[Literal["failed"]] = "failed"
    code: str
    message: str
    retryable: bool = False
    """Whether the same request may succeed when it is enqueued again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(_Ending):
    """The ending of a job that somebody stopped."""

    type: ClassVar[Literal["cancelled"]] = "cancelled"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(_Event):
    """Entries are missing here: a Redis that failed over has lost them. A reader says so, no stream holds it.

    Its `id` stands right before the entry that comes next, so who goes on from there is not told of it again.
    """

    type: ClassVar[Literal["gap"]] = "gap"
    after: EntryId
    """The last entry before those that are missing."""
    before: EntryId
    """The first entry behind them, which comes next."""


Ending: TypeAlias = Completed | Failed | Cancelled
StreamEvent: TypeAlias = (
    Queued | Started | Delta | Reasoning | Refusal | ToolCall | Box | Notice | Completed | Failed | Cancelled
)
"""What an entry of a stream can be."""
Event: TypeAlias = StreamEvent | Gap
"""What a tail tells."""

EndingType: TypeAlias = Literal["completed", "failed", "cancelled"]
ENDINGS: Final[Mapping[str, EndingType]] = {each: each for each in typing.get_args(EndingType)}
"""The types after which nothing follows."""
