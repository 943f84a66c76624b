"""What a stream says: the events of a job, from `queued` to its ending."""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from tailrace.cursor import BEGINNING, EntryId

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


def _opaque(name: str) -> str:
    """Return the same 16 hexadecimal digits for the same name, which do not contain it."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    type: ClassVar[str]
    id: EntryId = BEGINNING
    """The cursor to go on from after this event: `str(event.id)`. Set by whoever reads it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event in its public form, for clients of a service: `event_json_schema()` describes it.

        Fields have their names in Python, and fields that are `None` are left out. Entry ids are strings. The `worker`
        of a `started` is an opaque id, so that no client learns the name of a host.

        Returns:
            A new dict of values that JSON knows, `type` first, then `id`.
        """
        public: dict[str, Any] = {"type": self.type}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                public[field.name] = field.metadata.get("public", _plain)(value)
        return public

    def to_json(self) -> str:
        """Return what `to_dict` does as JSON: one line, in ASCII."""
        return json.dumps(self.to_dict())


def _plain(value: object) -> object:
    return str(value) if isinstance(value, EntryId) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(_Event):
    """The job was accepted."""

    type: ClassVar[Literal["queued"]] = "queued"
    at: int
    """The time of the Redis server, in Unix milliseconds."""
    queue: str
    """The queue in which the job waits for a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Event):
    """An attempt begins. What earlier attempts said is void, unless `continues`."""

    type: ClassVar[Literal["started"]] = "started"
    at: int
    """The time of the Redis server, in Unix milliseconds."""
    attempt: int
    """The number of the attempt: from 1 on, with gaps, each higher than the last."""
    provider: str
    """The provider that the attempt calls first, by its name in the request."""
    model: str
    """The model, by the provider's own name."""
    worker: str = dataclasses.field(metadata={"public": _opaque})
    """The process that runs the attempt, as `host:pid`; in `to_dict` an opaque id, the same for the same process."""
    token: str | None = None
    """Tells this start from another one of the same number, should Redis have lost either."""
    reason: str | None = None
    """Why there is another attempt, from the second one on."""
    continues: bool = False
    """Whether the answer of the attempt before goes on; otherwise it is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta(_Event):
    """Text of the answer."""

    type: ClassVar[Literal["delta"]] = "delta"
    text: str
    """The next piece of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning(_Event):
    """Text of the model's thinking, or the signature that closes a block of it."""

    type: ClassVar[Literal["reasoning"]] = "reasoning"
    text: str
    """The next piece of the thinking."""
    signature: str | None = None
    """What a later turn has to give back, as it came, together with the text of the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(_Event):
    """Text with which the model declines."""

    type: ClassVar[Literal["refusal"]] = "refusal"
    text: str
    """The next piece of the refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(_Event):
    """A fragment of a tool call: `arguments` are to be joined per `index`."""

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    index: int
    """Which call of the answer it belongs to, from 0 on."""
    call_id: str | None = dataclasses.field(default=None, metadata={"wire": "id"})
    """The provider's id of the call, to which the result refers; in the first fragment of a call."""
    name: str | None = None
    """The name of the tool; in the first fragment of a call."""
    arguments: str = ""
    """The next piece of the arguments, which are JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box(_Event):
    """A bounding box found in the text, with the range of characters in which it stands."""

    type: ClassVar[Literal["box"]] = "box"
    x1: float
    """The left edge."""
    y1: float
    """The upper edge."""
    x2: float
    """The right edge."""
    y2: float
    """The lower edge."""
    label: str | None = None
    """What the model says is in it."""
    start: int
    """How many characters of the answer's text come before it."""
    end: int
    """How many characters of the answer's text come before what follows it."""
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
    """What it is about, such as `redacted`."""
    message: str
    """The same in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending(_Event):
    at: int
    """The time of the Redis server, in Unix milliseconds."""
    input_tokens: int | None = None
    """Tokens are as the provider counts them: those of OpenAI contain the cached ones, those of Anthropic do not."""
    output_tokens: int | None = None
    """With those of the reasoning."""
    cached_input_tokens: int | None = None
    """Tokens that the provider read from its cache, at a lower price."""
    cache_write_input_tokens: int | None = None
    """Tokens that the provider wrote to its cache for later requests, at a higher price."""
    reasoning_tokens: int | None = None
    """Tokens of the model's thinking."""
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
    """The model that answered, or was called last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(_Ending):
    """The ending of a job whose provider said all it had to say."""

    type: ClassVar[Literal["completed"]] = "completed"
    finish_reason: FinishReason
    """Why the provider stopped."""
    provider_finish_reason: str | None = None
    """The provider's own word for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(_Ending):
    """The ending of a job that could not be completed; `code` is one of `errors.FailureCode`."""

    type: ClassVar[Literal["failed"]] = "failed"
    code: str
    """Why it failed: one of `FailureCode`."""
    message: str
    """The same in words, for a person."""
    retryable: bool = False
    """Whether the same request may succeed when it is enqueued again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(_Ending):
    """The ending of a job that somebody stopped."""

    type: ClassVar[Literal["cancelled"]] = "cancelled"
    reason: str = ""
    """What was given to `cancel`."""


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
