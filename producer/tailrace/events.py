"""The events of a job, from `queued` to the ending."""

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar, Final, Literal, TypeAlias

from tailrace.cursor import BEGINNING, EntryId

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]
"""Why a provider stopped: at its own end or a stop sequence, at the token limit, to have tools called, because of its
content filter, or because the model declined."""


def _opaque(name: str) -> str:
    """Return the same 16 hexadecimal digits for the same name, which do not contain it."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    type: ClassVar[str]
    id: EntryId = BEGINNING
    """The cursor from which to go on after this event, set by the reader. `str(event.id)` is its text."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event in its public form, for clients of a service: `event_json_schema()` describes it.

        Fields have their Python names, and fields that are `None` are omitted. Entry ids are strings. The `worker` of a
        `started` is an opaque id, so that clients do not learn the names of hosts.

        Returns:
            A new dict of values that JSON can hold, `type` first, then `id`.
        """
        public: dict[str, Any] = {"type": self.type}
        for name, publish in _public_fields(type(self)):  # type: ignore[arg-type]  # mypy takes the instances' hash
            value = getattr(self, name)
            if value is not None:
                public[name] = value if publish is None else publish(value)
        return public

    def to_json(self) -> str:
        """Return the public form of the event as JSON.

        Returns:
            The dict of `to_dict` as one line of ASCII.
        """
        return json.dumps(self.to_dict())


@functools.cache
def _public_fields(event: type[_Event]) -> tuple[tuple[str, Callable[[Any], object] | None], ...]:
    """Return the fields of a class, each with the function that makes its value public, if it needs one.

    `dataclasses.fields` takes as long as all the rest, and each reader of a job asks for the form of each event.
    """
    hints = typing.get_type_hints(event)
    return tuple(
        (field.name, field.metadata.get("public", str if hints[field.name] is EntryId else None))
        for field in dataclasses.fields(event)
    )


def _as_text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class _FramedEvent(_Event):
    raw: bytes | None = dataclasses.field(default=None, metadata={"public": _as_text})
    """What the provider sent, if the job's request is verbatim: one line for each frame, as `tailrace.raw_frames`
    writes it. A line without its end goes on in the next event with `raw`. In `to_dict` it is text, in which U+FFFD
    replaces bytes that are not UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(_Event):
    """The job was accepted."""

    type: ClassVar[Literal["queued"]] = "queued"
    at: int
    """When the job was enqueued, by the Redis server's clock, in Unix milliseconds."""
    queue: str
    """The queue in which the job waits for a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Event):
    """An attempt began. Discard what earlier attempts said, unless `continues` is true."""

    type: ClassVar[Literal["started"]] = "started"
    at: int
    """When the attempt began, by the Redis server's clock, in Unix milliseconds."""
    attempt: int
    """The number of the attempt, 1 or more. Each is higher than the one before; numbers may be skipped."""
    provider: str
    """The provider that the attempt calls first, by its name in the request."""
    model: str
    """The model, by the provider's own name."""
    worker: str = dataclasses.field(metadata={"public": _opaque})
    """The process that runs the attempt, as `host:pid`; in `to_dict` an opaque id, the same for the same process."""
    token: str | None = None
    """A random name for this start, so that two starts with one number differ if Redis has lost one of them."""
    reason: str | None = None
    """Why there is another attempt: `worker_lost`, `worker_shutdown` or `retry`; not set for the first attempt."""
    continues: bool = False
    """True if this attempt continues the answer of the attempt before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta(_FramedEvent):
    """Text of the answer."""

    type: ClassVar[Literal["delta"]] = "delta"
    text: str
    """The next piece of the answer."""

    def to_json(self) -> str:
        # Nearly every event is a delta, and each reader of a job asks for its JSON: this takes a fifth of the time.
        raw = "" if self.raw is None else f', "raw": {encode_basestring_ascii(_as_text(self.raw))}'
        return f'{{"type": "delta", "id": "{self.id}"{raw}, "text": {encode_basestring_ascii(self.text)}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning(_FramedEvent):
    """Text of the model's reasoning, or the signature that closes a block of it."""

    type: ClassVar[Literal["reasoning"]] = "reasoning"
    text: str
    """The next piece of the reasoning."""
    signature: str | None = None
    """The provider's signature of the block. A later request must return it unchanged, with the text of the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(_FramedEvent):
    """Text with which the model declines."""

    type: ClassVar[Literal["refusal"]] = "refusal"
    text: str
    """The next piece of the refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(_FramedEvent):
    """A fragment of a tool call. Join the `arguments` of all fragments with the same `index`."""

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    index: int
    """The position of the call in the answer, from 0."""
    call_id: str | None = dataclasses.field(default=None, metadata={"wire": "id"})
    """The provider's id of the call, to which the tool's result refers; set in the first fragment of a call."""
    name: str | None = None
    """The name of the tool; set in the first fragment of a call."""
    arguments: str = ""
    """The next piece of the arguments. Joined, they are JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box(_Event):
    """A bounding box that was found in the text of the answer."""

    type: ClassVar[Literal["box"]] = "box"
    x1: float
    """The left edge, in units of `scale`."""
    y1: float
    """The upper edge, in units of `scale`."""
    x2: float
    """The right edge, in units of `scale`."""
    y2: float
    """The lower edge, in units of `scale`."""
    label: str | None = None
    """The model's name for what is in the box."""
    start: int
    """The offset of the box's first character in the answer's text, in characters from 0."""
    end: int
    """The offset after the box's last character in the answer's text, in characters."""
    scale: int | None = None
    """The coordinate that means the full width or height of the image: `x1 / scale * width` is in pixels.

    It is 1 for fractions, and 999, 1000 or 1024 for models with such a notation. `None` means that the coordinates are
    pixels, or that the text does not say: Qwen writes `bbox_2d` in both ways.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation(_FramedEvent):
    """A source that the provider names for a passage of the answer. It comes after the text of its range."""

    type: ClassVar[Literal["citation"]] = "citation"
    source: Literal["web", "document", "search_result", "file"]
    """What is cited: a page of the web, a document or a search result in the request's messages, or a file that the
    provider keeps."""
    start: int | None = None
    """The offset of the passage's first character in the answer's text, in characters from 0; not set if the provider
    does not say which passage it is."""
    end: int | None = None
    """The offset after the passage's last character in the answer's text, in characters; set if `start` is. It equals
    `start` if the provider names only a position."""
    url: str | None = None
    """The address of a page, or what the request names as the source of a search result."""
    title: str | None = None
    """The title of the source, or the name of the file."""
    quote: str | None = None
    """The text of the source that the provider quotes; its first 8,192 characters."""
    source_index: int | None = None
    """The position of the document among all documents in the request's messages, or of the search result among all
    search results, from 0."""
    file_id: str | None = None
    """The provider's id of the file."""
    container_id: str | None = None
    """The provider's id of the container that holds the file."""
    unit: Literal["chars", "pages", "blocks"] | None = None
    """What `source_start` and `source_end` count: `chars` and `blocks` from 0, `pages` from 1."""
    source_start: int | None = None
    """Where the quoted text begins in the source: the number of its first character, page or block."""
    source_end: int | None = None
    """Where the quoted text ends in the source: the number after that of its last character, page or block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(_FramedEvent):
    """Something that the person reading the answer should know, for example that a guard changed it."""

    type: ClassVar[Literal["notice"]] = "notice"
    code: str
    """The kind of notice, such as `redacted` or `fallback`."""
    message: str
    """What happened, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames(_Event):
    """Frames of a verbatim answer that belong to no other event, such as a ping, or a part of a large frame.

    Readers that want the answer skip it.
    """

    type: ClassVar[Literal["frames"]] = "frames"
    raw: bytes = dataclasses.field(metadata={"public": _as_text})
    """What the provider sent: one line for each frame, as in the field `raw` of other events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending(_FramedEvent):
    at: int
    """When the job ended, by the Redis server's clock, in Unix milliseconds."""
    input_tokens: int | None = None
    """Tokens of the messages, as the provider counts them: OpenAI includes cached tokens, Anthropic does not."""
    output_tokens: int | None = None
    """Tokens of the answer, including those of the reasoning."""
    cached_input_tokens: int | None = None
    """Tokens that the provider read from its cache, at a lower price."""
    cache_write_input_tokens: int | None = None
    """Tokens that the provider wrote to its cache for later requests, at a higher price."""
    reasoning_tokens: int | None = None
    """Tokens of the model's reasoning."""
    queued_ms: int | None = None
    """The time from the enqueue to the beginning of the attempt that ended, in ms."""
    ttft_ms: int | None = None
    """The time from the call of the provider to its first token, in ms."""
    duration_ms: int | None = None
    """The time from the beginning of the attempt to its ending, in ms."""
    tokens_per_second: float | None = None
    """The output tokens divided by the time from the first token to the ending."""
    provider: str | None = None
    """The provider that answered, or was called last. After a fallback it is not the one of the request."""
    model: str | None = None
    """The model that answered, or was called last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(_Ending):
    """The ending of a job whose provider finished the answer."""

    type: ClassVar[Literal["completed"]] = "completed"
    finish_reason: FinishReason
    """Why the provider stopped."""
    provider_finish_reason: str | None = None
    """The provider's own word for the finish reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(_Ending):
    """The ending of a job that could not be completed."""

    type: ClassVar[Literal["failed"]] = "failed"
    code: str
    """Why the job failed: one of `FailureCode`."""
    message: str
    """Why the job failed, in words for a person."""
    retryable: bool = False
    """True if the same request may succeed when it is enqueued again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(_Ending):
    """The ending of a job that was cancelled."""

    type: ClassVar[Literal["cancelled"]] = "cancelled"
    reason: str = ""
    """The reason that was given to `cancel`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(_Event):
    """A place in the stream at which Redis lost entries, for example in a failover. A reader reports it; no stream
    holds one.

    Its `id` is the position directly before the next entry, so a tail that goes on from there does not report the gap
    again.
    """

    type: ClassVar[Literal["gap"]] = "gap"
    after: EntryId
    """The id of the last entry before the gap."""
    before: EntryId
    """The id of the first entry after the gap: the next event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive(_Event):
    """A sign of life of a tail to which nothing came for its `keep_alive_seconds`. A reader makes it; no stream holds
    one.

    Its `id` is the cursor of the tail, which it leaves as it is.
    """

    type: ClassVar[Literal["keep_alive"]] = "keep_alive"


Ending: TypeAlias = Completed | Failed | Cancelled
StreamEvent: TypeAlias = (
    Queued
    | Started
    | Delta
    | Reasoning
    | Refusal
    | ToolCall
    | Box
    | Citation
    | Notice
    | Frames
    | Completed
    | Failed
    | Cancelled
)
"""The events that the entries of a stream hold."""
Event: TypeAlias = StreamEvent | Gap
"""The events that a tail yields."""

EndingType: TypeAlias = Literal["completed", "failed", "cancelled"]
ENDINGS: Final[Mapping[str, EndingType]] = {each: each for each in typing.get_args(EndingType)}
"""The types of endings by their names. A stream ends with one of them."""
