"""Folds the events of a job into the answer so far."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Literal

from tailrace.attempt_content import AttemptContent, CalledTool
from tailrace.cursor import BEGINNING, EntryId
from tailrace.events import (
    Box,
    Cancelled,
    Completed,
    Ending,
    Event,
    Failed,
    FinishReason,
    Gap,
    Notice,
    Queued,
    Started,
)
from tailrace.request.messages import AssistantMessage, PastReasoning, PastToolCall
from tailrace.settings import Settings
from tailrace.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens that the provider counted, as far as it said so; see the endings for how it counts."""

    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_input_tokens: int | None
    reasoning_tokens: int | None


def _among(calls: list[PastToolCall | None], block: PastReasoning) -> PastReasoning:
    """Return the block with an `after_calls` that does not count the calls that are left out (`None`)."""
    after_calls = block.get("after_calls", 0)
    left = sum(call is not None for call in calls[:after_calls])
    return block if left == after_calls else {**block, "after_calls": left}


class Answer:
    """What a job has said so far. `add` each event once, in the order of the tail."""

    def __init__(self, settings: Settings | None = None) -> None:
        """The settings, by default the environment's, have the thresholds of `timing`."""
        self._settings = settings
        self._said = AttemptContent()
        self.attempt: int = 0
        """The attempt that is speaking; 0 while none has begun."""
        self.cursor: EntryId = BEGINNING
        """The last event that was added."""
        self.ending: Ending | None = None
        self.cancel_requested_at: int | None = None
        """When the job was asked to stop, in Unix ms of the Redis server, where who asked has noted it."""

    def add(self, event: "Event | Snapshot") -> None:
        """Adds an event. A new attempt makes void what earlier ones said, unless it continues them.

        A snapshot stands in place of all that was added before.
        """
        self.cursor = event.id
        match event:
            case Started():
                self.attempt = event.attempt
                if event.continues:
                    self._said.break_off_thought()
                else:
                    self._said = AttemptContent()
            case Completed() | Failed() | Cancelled():
                self.ending = event
            case Gap():
                self._said.complete = False
            case Snapshot():
                self._said = deepcopy(event.answer._said)  # noqa: SLF001
                self.attempt = event.answer.attempt
                self.ending = event.answer.ending
            case Queued():
                pass
            case _:
                if self.attempt < event.id.attempt:
                    if self.attempt:
                        # Its `started` is missing, and nobody knows whether it continued.
                        self._said = AttemptContent(complete=False)
                    self.attempt = event.id.attempt
                self._said.add(event)

    @property
    def text(self) -> str:
        """The text of the answer."""
        return str(self._said.text)

    @property
    def reasoning(self) -> str:
        """The text of the model's thinking."""
        return str(self._said.reasoning)

    @property
    def refusal(self) -> str:
        """The text with which the model declined."""
        return str(self._said.refusal)

    @property
    def tool_calls(self) -> list[CalledTool]:
        """The tool calls, in the order of their index."""
        return [call for _, call in sorted(self._said.tool_calls.items())]

    @property
    def message(self) -> AssistantMessage:
        """The answer as a message for the request of the next turn, with the tool calls, and with the reasoning and the
        signatures that the provider may want back.

        A call without a name or an id is left out, because no result can refer to it.
        """
        message = AssistantMessage(role="assistant", content=self.text or self.refusal)
        calls = [
            PastToolCall(id=call.call_id, name=call.name, arguments=call.arguments)
            if call.call_id and call.name
            else None
            for call in self.tool_calls
        ]
        if any(calls):
            message["tool_calls"] = [call for call in calls if call]
        if self._said.thoughts:
            message["reasoning"] = [_among(calls, block) for block in self._said.thoughts]
        return message

    @property
    def boxes(self) -> list[Box]:
        """The bounding boxes, in the order of the text."""
        return self._said.boxes

    @property
    def notices(self) -> list[Notice]:
        """What a person should know."""
        return self._said.notices

    @property
    def complete(self) -> bool:
        """Whether, as far as it has come, nothing of what was said is missing: there was no gap in it."""
        return self._said.complete

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the provider stopped; `None` unless the job completed."""
        return self.ending.finish_reason if isinstance(self.ending, Completed) else None

    @property
    def timing(self) -> Timing | None:
        """How long it took, and whether that is good; `None` before the ending."""
        if self.ending is None:
            return None
        self._settings = self._settings or Settings.read()
        return Timing.of(self.ending, self._settings, cancel_requested_at=self.cancel_requested_at)

    @property
    def input_tokens(self) -> int | None:
        """What the provider counted, as far as it said so."""
        return self.ending.input_tokens if self.ending else None

    @property
    def output_tokens(self) -> int | None:
        """What the provider counted, as far as it said so."""
        return self.ending.output_tokens if self.ending else None

    @property
    def usage(self) -> Usage | None:
        """What the provider counted; `None` before the ending."""
        ending = self.ending
        if ending is None:
            return None
        return Usage(
            input_tokens=ending.input_tokens,
            output_tokens=ending.output_tokens,
            cached_input_tokens=ending.cached_input_tokens,
            cache_write_input_tokens=ending.cache_write_input_tokens,
            reasoning_tokens=ending.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The answer so far, in place of the events that it was folded of. A reader makes it, no stream holds it."""

    type: ClassVar[Literal["snapshot"]] = "snapshot"
    id: EntryId
    """The cursor to go on from after it."""
    answer: Answer
    """Its holder's own: events may be added."""
