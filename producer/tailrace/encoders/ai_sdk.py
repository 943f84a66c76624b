"""The AI SDK's UI message stream, version 1: what `useChat` of the npm package `ai` reads."""

from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from tailrace.encoders.ai_sdk_frames import (
    DONE,
    ending_metadata,
    frame,
    notice_frame,
    source_frame,
    tool_input_frame,
)
from tailrace.encoders.base import ReplayFrom
from tailrace.encoders.restarts import Restarts
from tailrace.encoders.tool_input import ToolInput
from tailrace.events import (
    Box,
    Cancelled,
    Citation,
    Completed,
    Delta,
    Ending,
    Event,
    Failed,
    FinishReason,
    Gap,
    Notice,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)

SdkVersion: TypeAlias = Literal[6, 7]
"""The major version of the npm package `ai`. A client throws on a frame of a type that its version does not know."""

_Text: TypeAlias = Delta | Refusal | Reasoning

_TEXTS: Final = (Delta, Refusal, Reasoning)
_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool-calls",
    "content_filter": "content-filter",
    "refusal": "content-filter",
}
_STARTED_AGAIN: Final = "The answer was started again. Resume the stream to read it from its beginning."
_BROKEN_OFF: Final = "The answer cannot be read at the moment. Resume the stream to go on."
_GAP: Final = "A part of the answer was lost."


class AiSdkEncoder:
    """Encodes events as a UI message stream: one assistant message of one step.

    The frames depend on all events so far, so each response replays the message from its beginning, under the same
    message id. If the answer begins again after something was shown, version 7 gets a `reset-step`. Version 6 cannot
    take parts back, so its response ends with an `error`. A later response begins at the last restart (`replay_from`),
    and so skips the attempts that no longer count.

    Args:
        job_id: The id of the job, for the metadata of the message.
        message_id: The id of the message; by default the id of the job. It must be the same for all responses of a job.
        sdk_version: The major version of the client's npm package `ai`, 6 or 7.
    """

    headers: Mapping[str, str] = MappingProxyType({"x-vercel-ai-ui-message-stream": "v1"})
    """The header by which clients know the protocol."""
    opening: bytes = b""
    """Empty: the first frames come with the first event."""

    def __init__(self, job_id: str, *, message_id: str | None = None, sdk_version: SdkVersion = 6) -> None:
        self.replay_from: ReplayFrom = ReplayFrom.LAST_RESTART if sdk_version == 6 else ReplayFrom.BEGINNING
        """The last restart in version 6, and the beginning in version 7."""
        self.is_over: bool = False
        """True after the ending, and in version 6 after a restart."""
        self._can_reset = sdk_version == 7
        # The frames before those of the first event.
        self._start = frame("start", messageId=message_id or job_id, messageMetadata={"jobId": job_id}) + frame(
            "start-step"
        )
        self._restarts = Restarts()
        self._shows_something = False
        """True if the message has parts that a restart makes void."""
        self._open: type[_Text] | None = None
        """The kind of text that the open part has; `None` while no part is open."""
        self._parts = 0
        """How many text and reasoning parts were opened so far: the id of the newest one."""
        self._delta = ""
        """The beginning of the frames with which the open part grows."""
        self._calls: dict[int, ToolInput] = {}
        """The tool calls of the answer, by their index."""

    def encode(self, event: Event) -> bytes:
        """Encode the next event.

        Args:
            event: The next event of the tail.

        Returns:
            The frames of the event, one after the other; empty if it has none.
        """
        if (
            isinstance(event, _TEXTS)
            and type(event) is self._open
            and event.id.attempt == self._restarts.attempt
            and not (isinstance(event, Reasoning) and event.signature)
        ):
            # Nearly every event of a long answer takes this way.
            return f"{self._delta}{quoted(event.text)}}}\n\n".encode()
        if self.is_over:
            return b""
        start, self._start = self._start, ""
        return "".join((start, *self._frames(event))).encode()

    def broken_off(self) -> bytes:
        """Return the frames that tell the client that the stream cannot be read on, although the job may go on.

        Returns:
            The last frames of the response.
        """
        return (frame("error", errorText=_BROKEN_OFF) + DONE).encode()

    def _frames(self, event: Event) -> Iterator[str]:
        if self._restarts.is_restart(event):
            yield from self._begin_again()
            if self.is_over:
                return
        match event:
            case Delta() | Refusal() | Reasoning():
                yield from self._say(event)
            case ToolCall():
                yield from self._call(event)
            case Started() if self._open is Reasoning:
                # The attempt continues the answer, but not the thought.
                yield from self._close()
            case Box():
                self._shows_something = True
                yield frame("data-box", id=str(event.id), data=event.to_dict())
            case Citation():
                self._shows_something = True
                yield source_frame(event)
            case Notice():
                yield notice_frame(event.code, event.message)
            case Gap():
                yield notice_frame("gap", _GAP)
            case Completed() | Failed() | Cancelled():
                yield from self._end(event)
            case _:
                pass

    def _begin_again(self) -> Iterator[str]:
        self._open = None
        self._calls.clear()
        if not self._shows_something:
            return
        self._shows_something = False
        if self._can_reset:
            yield frame("reset-step")
        else:
            self.is_over = True
            yield frame("error", errorText=_STARTED_AGAIN)
            yield DONE

    def _say(self, event: _Text) -> Iterator[str]:
        if type(event) is not self._open:
            yield from self._close()
            yield self._open_part(event)
        if event.text:
            yield f"{self._delta}{quoted(event.text)}}}\n\n"
        if isinstance(event, Reasoning) and event.signature:
            yield from self._close(providerMetadata={"tailrace": {"signature": event.signature}})

    def _open_part(self, event: _Text) -> str:
        self._shows_something = True
        self._open = type(event)
        self._parts += 1
        kind = _kind(self._open)
        self._delta = f'data: {{"type":"{kind}-delta","id":"{self._parts}","delta":'
        refusal = {"tailrace": {"refusal": True}} if isinstance(event, Refusal) else None
        return frame(f"{kind}-start", id=str(self._parts), providerMetadata=refusal)

    def _close(self, **fields: object) -> Iterator[str]:
        """End the open part, if there is one."""
        if self._open is not None:
            yield frame(f"{_kind(self._open)}-end", id=str(self._parts), **fields)
            self._open = None

    def _call(self, event: ToolCall) -> Iterator[str]:
        call = self._calls.setdefault(event.index, ToolInput())
        was_named = call.is_named
        call.add(event)
        if not call.is_named:
            # The call cannot be shown yet. `Answer.message` omits one without a name or an id, too.
            return
        fragment = event.arguments if was_named else call.arguments
        if not was_named:
            self._shows_something = True
            yield from self._close()
            yield frame("tool-input-start", toolCallId=call.call_id, toolName=call.name)
        if fragment:
            yield frame("tool-input-delta", toolCallId=call.call_id, inputTextDelta=fragment)

    def _end(self, ending: Ending) -> Iterator[str]:
        self.is_over = True
        yield from self._close()
        for call in self._calls.values():
            if call.is_named:
                yield tool_input_frame(call, is_complete=isinstance(ending, Completed))
        yield frame("finish-step")
        yield frame("message-metadata", messageMetadata=ending_metadata(ending))
        match ending:
            case Completed():
                yield frame("finish", finishReason=_REASONS[ending.finish_reason])
            case Failed():
                yield frame("error", errorText=ending.message)
                yield frame("finish", finishReason="error")
            case Cancelled():
                yield frame("abort", reason=ending.reason or None)
        yield DONE


def _kind(event: type[_Text]) -> str:
    return "reasoning" if event is Reasoning else "text"
