"""What a stream says: the events, and how an entry of a Redis stream is written and read.

An entry's fields are flat strings with `type` first. A field that is `None` is not written; types and fields that this
version does not know are skipped when read, so that a newer worker never breaks an older reader.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from tailrace.protocol.keys import BEGINNING, EntryId

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


_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    wire: bytes
    read: Callable[[bytes], object]
    set: Callable[[object, object], None]
    """Sets it on an event that is being made: frozen events are made by their slots, at a third of the cost."""
    default: object


@dataclass(frozen=True, slots=True)
class _Codec:
    event: type[Any]
    set_id: Callable[[object, EntryId], None]
    fields: tuple[_Field, ...]

    def decode(self, entry_id: EntryId, entry: Mapping[bytes, bytes]) -> StreamEvent:
        event: StreamEvent = object.__new__(self.event)
        self.set_id(event, entry_id)
        for field in self.fields:
            raw = entry.get(field.wire)
            if raw is not None:
                field.set(event, field.read(raw))
            elif field.default is not _MISSING:
                field.set(event, field.default)
            else:
                raise ValueError(f"its type is {self.event.type!r}, and it lacks a field, {field.wire.decode()!r}")
        return event


def _reader(annotation: object) -> Callable[[bytes], object]:
    kind: object = annotation
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        kind = next(part for part in typing.get_args(annotation) if part is not types.NoneType)
    if kind is int:
        return int
    if kind is float:
        return float
    if kind is bool:
        return b"1".__eq__
    return bytes.decode


def _codec(event: type[Any]) -> _Codec:
    hints = typing.get_type_hints(event)
    fields = tuple(
        _Field(
            name=field.name,
            wire=str(field.metadata.get("wire", field.name)).encode(),
            read=_reader(hints[field.name]),
            set=getattr(event, field.name).__set__,
            default=_MISSING if field.default is dataclasses.MISSING else field.default,
        )
        for field in dataclasses.fields(event)
        if field.name != "id"
    )
    return _Codec(event, event.id.__set__, fields)


_CODECS: Final = {event.type: _codec(event) for event in typing.get_args(StreamEvent)}
_CODECS_BY_BYTES: Final = {name.encode(): codec for name, codec in _CODECS.items()}


def encode(event: StreamEvent) -> list[str]:
    """The flat fields of an entry, `type` first, in the order of the class; whoever appends it gives the id."""
    fields = ["type", event.type]
    for field in _CODECS[event.type].fields:
        value = getattr(event, field.name)
        if value is None or value is False:
            continue
        fields += (field.wire.decode(), "1" if value is True else str(value))
    return fields


def decode(entry_id: bytes, entry: Mapping[bytes, bytes]) -> StreamEvent | None:
    """The event of an entry, or `None` for a type that this version does not know.

    Raises:
        ValueError: A known type lacks a field, or a field is not of its kind.
    """
    codec = _CODECS_BY_BYTES.get(entry.get(b"type", b""))
    return None if codec is None else codec.decode(EntryId.decode(entry_id), entry)


def pairs(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    """The fields of an entry as Redis sends them: names and values in turn."""
    each = iter(flat)
    return dict(zip(each, each))  # noqa: B905 - with `strict` each entry takes a third longer
