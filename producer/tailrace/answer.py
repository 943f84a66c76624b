"""`Answer`: what a job has said so far, joined from its events."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tailrace.attempt_content import AttemptContent, CalledTool
from tailrace.cursor import BEGINNING, EntryId
from tailrace.events import (
    Box,
    Cancelled,
    Citation,
    Completed,
    Ending,
    Event,
    Failed,
    FinishReason,
    Gap,
    KeepAlive,
    Notice,
    Queued,
    Started,
)
from tailrace.request.messages import AssistantMessage, PastReasoning, PastToolCall
from tailrace.settings import Settings
from tailrace.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens as the provider counted them; `None` for each count that it did not report."""

    input_tokens: int | None
    """Tokens of the messages. OpenAI's count includes cached tokens, Anthropic's does not."""
    output_tokens: int | None
    """Tokens of the answer, including those of the reasoning."""
    cached_input_tokens: int | None
    """Tokens that the provider read from its cache, at a lower price."""
    cache_write_input_tokens: int | None
    """Tokens that the provider wrote to its cache for later requests, at a higher price."""
    reasoning_tokens: int | None
    """Tokens of the reasoning."""


def _among(calls: list[PastToolCall | None], block: PastReasoning) -> PastReasoning:
    """Return the block with an `after_calls` that does not count the calls that the message omits (`None`)."""
    after_calls = block.get("after_calls", 0)
    left = sum(call is not None for call in calls[:after_calls])
    return block if left == after_calls else {**block, "after_calls": left}


class Answer:
    """The answer of a job so far. `add` each event once, in the order of the tail.

    Args:
        settings: The settings with the thresholds of `timing`; by default they come from the environment.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._said = AttemptContent()
        self.attempt: int = 0
        """The number of the attempt whose answer this is; 0 before the first one."""
        self.cursor: EntryId = BEGINNING
        """The id of the last event that was added."""
        self.ending: Ending | None = None
        """The ending of the job; `None` before it."""
        self.cancel_requested_at: int | None = None
        """When the job was first asked to stop, by the Redis server's clock, in Unix ms; `None` if not known here."""

    def add(self, event: "Event | Snapshot | KeepAlive") -> None:
        """Add the next event.

        A `Started` discards what earlier attempts said, unless it `continues` them. A `Snapshot` replaces everything
        that was added before.

        Args:
            event: The next event of the tail.
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
            case Queued() | KeepAlive():
                pass
            case _:
                if self.attempt < event.id.attempt:
                    if self.attempt:
                        # The `started` of the attempt is missing, so it is unknown whether the attempt continued.
                        self._said = AttemptContent(complete=False)
                    self.attempt = event.id.attempt
                self._said.add(event)

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        return str(self._said.text)

    @property
    def partial(self) -> Any:
        """The value of the text so far, if the text is the JSON of an object or a list, as with an `output_schema`.

        A member or an item appears when its value begins to arrive. A string grows. A number, `true`, `false` or `null`
        appears as a whole. At the end the value equals `json.loads(answer.text)`. It is `None` until the object or the
        list begins. If the text is not JSON, the value stays as it was before the first error. Text before the JSON,
        such as the fence of a code block, is an error.

        Each character is parsed once, however often this is read. A read parses the text that is new, and copies the
        string in which the text ends. The value is the same object each time, and grows: copy what you want to keep,
        and do not change it.
        """
        return self._said.text.partial

    @property
    def reasoning(self) -> str:
        """The text of the model's reasoning."""
        return str(self._said.reasoning)

    @property
    def refusal(self) -> str:
        """The text with which the model declined."""
        return str(self._said.refusal)

    @property
    def tool_calls(self) -> list[CalledTool]:
        """The tool calls so far, in the order of their index."""
        return [call for _, call in sorted(self._said.tool_calls.items())]

    @property
    def message(self) -> AssistantMessage:
        """The answer as a message for the request of the next turn.

        It has the tool calls, and the reasoning with the signatures that the provider may require. A call without a
        name or an id is omitted, because no result can refer to it.
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
    def citations(self) -> list[Citation]:
        """The citations so far, in the order in which they came. Several may name the same source."""
        return self._said.citations

    @property
    def notices(self) -> list[Notice]:
        """The notices so far, for the person reading the answer."""
        return self._said.notices

    @property
    def complete(self) -> bool:
        """True if nothing is missing from the answer so far: Redis lost none of its entries."""
        return self._said.complete

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the provider stopped; `None` unless the job completed."""
        return self.ending.finish_reason if isinstance(self.ending, Completed) else None

    @property
    def timing(self) -> Timing | None:
        """How long the answer took, with a verdict; `None` before the ending."""
        if self.ending is None:
            return None
        self._settings = self._settings or Settings.read()
        return Timing.of(self.ending, self._settings, cancel_requested_at=self.cancel_requested_at)

    @property
    def input_tokens(self) -> int | None:
        """The input tokens that the provider counted; `None` before the ending, or if it did not report them."""
        return self.ending.input_tokens if self.ending else None

    @property
    def output_tokens(self) -> int | None:
        """The output tokens that the provider counted; `None` before the ending, or if it did not report them."""
        return self.ending.output_tokens if self.ending else None

    @property
    def usage(self) -> Usage | None:
        """The tokens that the provider counted; `None` before the ending."""
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
    """The answer so far, in place of the events from which it was joined. A reader makes it; no stream holds one."""

    type: ClassVar[Literal["snapshot"]] = "snapshot"
    id: EntryId
    """The cursor from which to go on: the id of the last event in the answer."""
    answer: Answer
    """The answer so far. It belongs to the caller, who may add the events that follow."""
