"""Folds the events of a job into the answer so far."""

from dataclasses import dataclass, field

from tailrace.events import (
    Box,
    Cancelled,
    Completed,
    Delta,
    Ending,
    Event,
    Failed,
    FinishReason,
    Notice,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)
from tailrace.keys import BEGINNING, EntryId
from tailrace.messages import AssistantMessage, PastReasoning, PastToolCall


@dataclass(slots=True, kw_only=True)
class CalledTool:
    """A tool call, as far as its fragments have come."""

    call_id: str | None = None
    name: str | None = None
    arguments: str = ""
    """JSON, complete once the answer has ended."""


@dataclass(slots=True)
class _Said:
    """What one attempt said. Texts stay in pieces: joining at each delta would cost the square of their length."""

    text: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    thoughts: list[PastReasoning] = field(default_factory=list[PastReasoning])
    """The blocks of the reasoning that were signed."""
    unsigned: list[str] = field(default_factory=list[str])
    """What was thought since the last of them."""
    refusal: list[str] = field(default_factory=list[str])
    tool_calls: dict[int, CalledTool] = field(default_factory=dict[int, CalledTool])
    boxes: list[Box] = field(default_factory=list[Box])
    notices: list[Notice] = field(default_factory=list[Notice])


class Answer:
    """What a job has said so far. `add` each event once, in the order of the stream."""

    def __init__(self) -> None:
        self._said = _Said()
        self.attempt = 0
        """The attempt that is speaking; 0 while none has begun."""
        self.cursor: EntryId = BEGINNING
        """The last event that was added."""
        self.ending: Ending | None = None

    def add(self, event: Event) -> None:
        """Adds an event. A new attempt makes void what earlier ones said, unless it continues them."""
        self.cursor = event.id
        said = self._said
        match event:
            case Delta():
                said.text.append(event.text)
            case Reasoning():
                said.reasoning.append(event.text)
                said.unsigned.append(event.text)
                if event.signature:
                    said.thoughts.append(PastReasoning(text="".join(said.unsigned), signature=event.signature))
                    said.unsigned.clear()
            case Refusal():
                said.refusal.append(event.text)
            case ToolCall():
                call = said.tool_calls.setdefault(event.index, CalledTool())
                call.call_id = event.call_id or call.call_id
                call.name = event.name or call.name
                call.arguments += event.arguments
            case Box():
                said.boxes.append(event)
            case Notice():
                said.notices.append(event)
            case Started():
                self.attempt = event.attempt
                if not event.continues:
                    self._said = _Said()
            case Completed() | Failed() | Cancelled():
                self.ending = event
            case _:
                pass

    @property
    def text(self) -> str:
        """The text of the answer."""
        return _joined(self._said.text)

    @property
    def reasoning(self) -> str:
        """The text of the model's thinking."""
        return _joined(self._said.reasoning)

    @property
    def refusal(self) -> str:
        """The text with which the model declined."""
        return _joined(self._said.refusal)

    @property
    def tool_calls(self) -> list[CalledTool]:
        """The tool calls, in the order of their index."""
        return [call for _, call in sorted(self._said.tool_calls.items())]

    @property
    def message(self) -> AssistantMessage:
        """The answer as a message of the conversation, for the request of the next turn: with the tool calls, and with
        the reasoning that the provider has signed, which it may want back together with their results."""
        message = AssistantMessage(role="assistant", content=self.text)
        if self._said.tool_calls:
            message["tool_calls"] = [
                PastToolCall(id=call.call_id or "", name=call.name or "", arguments=call.arguments)
                for call in self.tool_calls
            ]
        if self._said.thoughts:
            message["reasoning"] = list(self._said.thoughts)
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
    def finish_reason(self) -> FinishReason | None:
        """Why the provider stopped; `None` unless the job completed."""
        return self.ending.finish_reason if isinstance(self.ending, Completed) else None

    @property
    def input_tokens(self) -> int | None:
        """What the provider counted, as far as it said so."""
        return self.ending.input_tokens if self.ending else None

    @property
    def output_tokens(self) -> int | None:
        """What the provider counted, as far as it said so."""
        return self.ending.output_tokens if self.ending else None


def _joined(parts: list[str]) -> str:
    if len(parts) > 1:
        parts[:] = ["".join(parts)]
    return parts[0] if parts else ""
