"""OpenAI's Responses: the events of a streamed response, and the response object."""

from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType
from typing import Any, Final

from tailrace.encoders.base import ReplayFrom
from tailrace.encoders.response_frames import DONE, begun_error, begun_frame, numbered, response_error
from tailrace.encoders.response_items import CallItem, Item, ItemStatus, MessageItem, ReasoningItem, TextPart
from tailrace.encoders.restarts import Restarts
from tailrace.encoders.stream_error import GAP, StreamError
from tailrace.encoders.tool_input import ToolInput
from tailrace.encoders.usage import response_usage
from tailrace.events import (
    Cancelled,
    Citation,
    Completed,
    Delta,
    Ending,
    Event,
    Failed,
    Gap,
    Queued,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)

_TEXTS: Final = (Delta, Refusal)
_UNASKED: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "background": False,
        "frequency_penalty": 0.0,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "",
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
)
"""What a response says of its request if the client asked for nothing. Open Responses demands each of them."""
_INCOMPLETE: Final[Mapping[str, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by its finish reason."""


def response_id(job_id: str) -> str:
    """Return the id that the response of a job has for clients.

    Args:
        job_id: The id of the job.
    """
    return f"resp_{job_id}"


class OpenAIResponsesEncoder:
    """Encodes events as the events of a response.

    Each has a `sequence_number`, which counts from 0 and depends on the job's events only, so that a client resumes
    after any of them. A restart ends the open items as `incomplete`, and the new attempt has items of its own; the
    finished response has only those.

    Args:
        job_id: The id of the job, from which the response has its id.
        asked: Fields of the response that repeat those of its request, such as `model`, `tools` and `metadata`.
        starting_after: The number of the last event that the client has; `None` if it has none.
    """

    headers: Mapping[str, str] = MappingProxyType({})
    """None beside those of every stream."""
    replay_from: ReplayFrom = ReplayFrom.BEGINNING
    """The beginning: the numbers count all events, also those that the client has."""
    opening: bytes = b""
    """Nothing: the first events come with the job's first one."""

    def __init__(
        self, job_id: str, *, asked: Mapping[str, Any] | None = None, starting_after: int | None = None
    ) -> None:
        self.is_over: bool = False
        """True after the ending, and after an error."""
        self._asked = {**_UNASKED, **(asked or {})}
        self._id = response_id(job_id)
        self._key = job_id[:24]
        self._after = -1 if starting_after is None else starting_after
        self._number = 0
        self._created: int | None = None
        self._status = "queued"
        self._ending: Ending | None = None
        self._restarts = Restarts()
        self._items: list[Item] = []
        """The items so far, those of earlier attempts too: their places are the `output_index`."""
        self._first = 0
        """The place of the first item of the attempt that counts."""
        self._attempt = 0
        """That attempt, or the one that it continues."""
        self._ended: dict[int, ItemStatus] = {}
        """The items that have ended, by their places."""
        self._chars = 0
        """How many characters of the answer the attempt has said."""
        self._calls: dict[int, ToolInput] = {}
        """The calls by their index."""
        self._call_items: dict[int, tuple[int, CallItem]] = {}
        """Those that clients see, each with its place."""
        self._part: TextPart | None = None
        """The part that grows."""
        self._grows: type[Delta | Refusal] | None = None
        """The type of the events with which it grows."""
        self._delta = ""
        """The beginning of the frames with which it grows."""

    def encode(self, event: Event) -> bytes:
        """Encode the next event.

        Args:
            event: The next event of the tail.

        Returns:
            The frames of the event, one after the other, without those that the client has.
        """
        if (
            isinstance(event, _TEXTS)
            and type(event) is self._grows
            and self._part is not None
            and event.id.attempt == self._restarts.attempt
        ):
            # Nearly every event of a long answer takes this way.
            return self._grow(self._part, event).encode()
        return b"" if self.is_over else "".join(self._frames(event)).encode()

    def broken_off(self) -> bytes:
        """Tell the client that the job cannot be read to its ending, although it may go on.

        Returns:
            The last frames of the response.
        """
        return "".join(self._break_off(StreamError.broken_off())).encode()

    @property
    def response(self) -> dict[str, Any]:
        """The response as it is after the events so far: what a call that is not streamed returns."""
        ending = self._ending
        items = range(self._first, len(self._items))
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created or 0,
            "status": self._status,
            "error": response_error(ending),
            "incomplete_details": _incomplete(ending),
            "output": [self._items[place].object(self._ended.get(place, "in_progress")) for place in items],
            "usage": None if ending is None else response_usage(ending),
            "completed_at": ending.at // 1000 if isinstance(ending, Completed) else None,
            **self._asked,
        }

    def _frames(self, event: Event) -> Iterator[str]:
        yield from self._begin(event)
        match event:
            case Delta() | Refusal():
                yield from self._say(event)
            case Reasoning():
                yield from self._think(event)
            case ToolCall():
                yield from self._call(event)
            case Citation():
                yield from self._cite(event)
            case Started():
                # The attempt continues the answer, but not the thought.
                if self._open(ReasoningItem):
                    yield from self._end_last("completed")
            case Gap():
                yield from self._break_off(GAP)
            case Completed() | Failed() | Cancelled():
                yield from self._end(event)
            case _:
                pass

    def _begin(self, event: Event) -> Iterator[str]:
        """Tell that the response was created, that it runs, or that its answer begins again."""
        if self._created is None:
            self._created = event.at // 1000 if isinstance(event, Queued | Started) else 0
            yield self._lifecycle("created")
            if isinstance(event, Queued):
                yield self._lifecycle("queued")
        if self._restarts.is_restart(event):
            yield from self._end_all("incomplete")
            self._first, self._chars = len(self._items), 0
            self._attempt = self._restarts.attempt
            self._calls.clear()
            self._call_items.clear()
        if self._status == "queued" and not isinstance(event, Queued | Gap):
            if isinstance(event, Started) and not self._asked["model"]:
                self._asked["model"] = event.model
            self._status = "in_progress"
            yield self._lifecycle("in_progress")

    def _say(self, event: Delta | Refusal) -> Iterator[str]:
        if not event.text:
            return
        item, is_refusal = self._open(MessageItem), isinstance(event, Refusal)
        if item is None:
            item = MessageItem(self._new_id("msg"))
            yield from self._add(item)
        part = self._part
        if part is None or part.is_refusal is not is_refusal:
            part = self._part = TextPart(self._chars, is_refusal=is_refusal)
            yield from self._tell(item.begin_part(part), self._last)
            place = {"item_id": item.id, "output_index": self._last, "content_index": len(item.parts) - 1}
            self._delta = begun_frame(f"response.{part.name}.delta", place)
            self._grows = type(event)
        yield self._grow(part, event)

    def _grow(self, part: TextPart, event: Delta | Refusal) -> str:
        part.add(event.text)
        if part.is_refusal:
            return self._numbered(f'{self._delta},"delta":{quoted(event.text)}')
        self._chars += len(event.text)
        return self._numbered(f'{self._delta},"delta":{quoted(event.text)},"logprobs":[]')

    def _think(self, event: Reasoning) -> Iterator[str]:
        item = self._open(ReasoningItem)
        if item is None:
            item = ReasoningItem(self._new_id("rs"))
            yield from self._add(item)
        if event.text:
            yield from self._tell(item.say(event.text), self._last)
        if event.signature:
            item.signature = event.signature
            yield from self._end_last("completed")

    def _call(self, event: ToolCall) -> Iterator[str]:
        place, item = self._call_items.get(event.index, (None, None))
        if place in self._ended:
            # White space, at most: the arguments were whole.
            return
        call = self._calls.setdefault(event.index, ToolInput())
        call.add(event)
        if place is not None and item is not None:
            yield from self._tell(item.say(event.arguments), place)
        elif call.is_named:
            item = CallItem(self._new_id("fc"), call)
            yield from self._add(item)
            self._call_items[event.index] = self._last, item
            yield from self._tell(item.say(call.arguments), self._last)

    def _cite(self, citation: Citation) -> Iterator[str]:
        item, part = self._open(MessageItem), self._part
        if item is None or part is None or part.is_refusal or citation.url is None:
            return
        if citation.start is None or citation.end is None or citation.start < part.begins_at:
            return
        annotation = {
            "type": "url_citation",
            "start_index": citation.start - part.begins_at,
            "end_index": citation.end - part.begins_at,
            "url": citation.url,
            "title": citation.title or "",
        }
        yield from self._tell(item.annotate(annotation), self._last)

    def _new_id(self, kind: str) -> str:
        """Return the id of the next item. It is the same for a reader that sees no earlier attempt."""
        return f"{kind}_{self._key}_{self._attempt}_{len(self._items) - self._first}"

    @property
    def _last(self) -> int:
        return len(self._items) - 1

    def _open(self, kind: type[Any]) -> Any:
        """Return the last item, if it is of this kind and still grows."""
        if self._last >= self._first and self._last not in self._ended and isinstance(self._items[-1], kind):
            return self._items[-1]
        return None

    def _add(self, item: Item) -> Iterator[str]:
        """Begin an item. Before it, all items end but calls whose arguments are not whole."""
        for place in range(self._first, len(self._items)):
            before = self._items[place]
            if place not in self._ended and (before.is_whole if isinstance(before, CallItem) else True):
                yield from self._end_item(place, "completed")
        self._items.append(item)
        yield self._frame("output_item.added", {"output_index": self._last, "item": item.object("in_progress")})

    def _end_last(self, status: ItemStatus) -> Iterator[str]:
        yield from self._end_item(self._last, status)

    def _end_all(self, status: ItemStatus) -> Iterator[str]:
        for place in range(self._first, len(self._items)):
            if place not in self._ended:
                yield from self._end_item(place, status)

    def _end_item(self, place: int, status: ItemStatus) -> Iterator[str]:
        self._part = self._grows = None
        self._ended[place] = status
        item = self._items[place]
        yield from self._tell(item.end(), place)
        yield self._frame("output_item.done", {"output_index": place, "item": item.object(status)})

    def _end(self, ending: Ending) -> Iterator[str]:
        self._ending = ending
        is_whole = isinstance(ending, Completed) and ending.finish_reason not in _INCOMPLETE
        yield from self._end_all("completed" if is_whole else "incomplete")
        self.is_over = True
        match ending:
            case Failed():
                self._status = kind = "failed"
            case Cancelled():
                # OpenAI has no event for a response that was cancelled.
                self._status, kind = "cancelled", "incomplete"
            case _:
                self._status = kind = "completed" if is_whole else "incomplete"
        yield self._lifecycle(kind)
        yield DONE

    def _break_off(self, error: StreamError) -> Iterator[str]:
        self.is_over = True
        self._grows = None
        yield self._numbered(begun_error(error))
        yield DONE

    def _tell(self, told: Iterator[tuple[str, dict[str, Any]]], place: int) -> Iterator[str]:
        for kind, fields in told:
            yield self._frame(kind, {"output_index": place, **fields})

    def _lifecycle(self, kind: str) -> str:
        return self._frame(kind, {"response": self.response})

    def _frame(self, kind: str, fields: Mapping[str, Any]) -> str:
        return self._numbered(begun_frame(f"response.{kind}", fields))

    def _numbered(self, begun: str) -> str:
        """Return a frame with the next number; empty if the client has it."""
        number, self._number = self._number, self._number + 1
        return numbered(begun, number) if number > self._after else ""


def _incomplete(ending: Ending | None) -> dict[str, str] | None:
    if isinstance(ending, Completed) and ending.finish_reason in _INCOMPLETE:
        return {"reason": _INCOMPLETE[ending.finish_reason]}
    return None
