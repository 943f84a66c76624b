"""`ResponsesDecoder`: decodes the answers of Responses, also of other servers than OpenAI's."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from tailrace.events import FinishReason
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.providers.errors import ErrorEvent, EventsLost
from tailrace_worker.providers.finish_words import finish_reason
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.openai_responses import wire
from tailrace_worker.providers.openai_responses.reader import ItemReader
from tailrace_worker.providers.token_counts import Places, used
from tailrace_worker.providers.tool_calls import as_text
from tailrace_worker.providers.vocabulary import Skipped

_FINISH_WORDS: Final[Mapping[str, FinishReason]] = {"steered": "stop"}
"""The words with a fixed meaning; `finish_reason` interprets all others."""

_COUNTS: Final[Places] = {
    "input_tokens": [("input_tokens",)],
    "output_tokens": [("output_tokens",)],
    "cached_input_tokens": [("input_tokens_details", "cached_tokens")],
    "cache_write_input_tokens": [("input_tokens_details", "cache_write_tokens")],
    "reasoning_tokens": [("output_tokens_details", "reasoning_tokens")],
}

_NOT_YET: Final = frozenset({"queued", "in_progress"})


class ResponsesDecoder:
    """A decoder of one answer, as `AnswerDecoder` describes it."""

    def __init__(self, skipped: Skipped) -> None:
        self.is_whole = False
        self.is_over = False
        self.finished = False
        self._skipped = skipped
        self._items = ItemReader(skipped)
        self._number: int | None = None
        """The number of the last event."""
        self._counts = False
        """True once a number was one above that before it. Some servers send the same number with every event."""
        self._last_data = b""
        self._status = ""
        """How the response ended."""
        self._why = ""
        """Why the response is incomplete, if it is."""

    def whole(self, body: bytes) -> Iterator[Piece]:
        response = wire.decode_response(body)
        # The status may be missing, or be a word that only this server uses. A response with output counts as
        # completed, unless it is queued or in progress.
        status = as_text(response.status)
        yield from self._last("completed" if response.output and status not in _NOT_YET else status, response)

    def done(self) -> None:
        self.is_whole = self.is_whole or self._items.is_complete
        self.is_over = True

    def pieces(self, data: bytes, name: bytes = b"") -> Iterable[Piece]:
        event = wire.EVENTS.read(data, self._skipped, name=name)
        number = event.sequence_number if isinstance(event, wire.Numbered) else _number_of(data)
        if self._counts and number == self._number and data == self._last_data:
            # The event arrived twice. Its text must not be in the answer twice.
            return ()
        self._count(number)
        self._last_data = data
        match event:
            case wire.Delta():
                return self._items.fragment(event)
            case wire.OfItem():
                return self._items.text(event)
            case wire.ItemAdded(item=said, output_index=index) if said:
                return self._items.beginning(index, said)
            case wire.ItemDone(item=said, output_index=index):
                return self._items.item(index, said)
            case wire.Completed(response=response) | wire.Done(response=response):
                return self._last("completed", response)
            case wire.Incomplete(response=response):
                return self._last("incomplete", response)
            case wire.Failed(response=response):
                raise ErrorEvent(response.error)
            case wire.Error() as said:
                raise ErrorEvent(said.error or {"code": said.code, "message": said.message})
            case _:
                return ()

    def end(self) -> Iterator[Piece]:
        reason: FinishReason = "tool_calls" if self._items.calls else "refusal" if self._items.refused else "stop"
        if self._status == "incomplete":
            reason = finish_reason(self._why, _FINISH_WORDS)
            if reason == "stop" and self._why not in _FINISH_WORDS:
                reason = "length"
        yield from self._items.end()
        self.finished = True
        yield Finish(reason=reason, provider_reason=self._why or self._status)

    def _count(self, number: object) -> None:
        if isinstance(number, int):
            if self._number is not None and number > self._number + 1:
                raise EventsLost({"message": f"event {number} came after event {self._number}: those between are lost"})
            self._counts = self._counts or (self._number is not None and number == self._number + 1)
            self._number = number

    def _last(self, status: str, response: wire.Response) -> Iterator[Piece]:
        if (said := as_text(response.status)) in {"incomplete", "failed", "cancelled"}:
            # Some servers end every stream with the same event, whatever happened.
            status = said
        if response.error and any(members(response.error).values() or (True,)):
            raise ErrorEvent(response.error)
        if status in {"failed", "cancelled"}:
            raise ErrorEvent({"message": f"its status is {status!r}"})
        yield from self._items.response(response.output)
        yield from used(response.usage, _COUNTS)
        self._status = status
        if status == "incomplete":
            details = response.incomplete_details
            self._why = str(members(details).get("reason") or (isinstance(details, str) and details) or status)
        self.is_whole = self.is_over = status in {"completed", "incomplete"}


def _number_of(data: bytes) -> object:
    """Return the number of an event that is skipped; `None` if it has none, or is not JSON."""
    with suppress(ValueError):
        return wire.decode_numbered(data).sequence_number
    return None
