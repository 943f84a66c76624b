"""`VerbatimEncoder`: the provider's own frames, byte for byte."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tailrace.api_kinds import ApiKind
from tailrace.encoders.anthropic_messages import error_frame
from tailrace.encoders.base import ReplayFrom
from tailrace.encoders.newest_response import NewestResponse
from tailrace.encoders.openai_chat import error_frames
from tailrace.encoders.response_frames import DONE, begun_error, begun_frame, numbered
from tailrace.encoders.restarts import Restarts
from tailrace.encoders.stream_error import GAP, STARTED_AGAIN, StreamError
from tailrace.events import Cancelled, Completed, Event, Failed, Gap, Started
from tailrace.raw_frames import Frame, FrameDecoder

_ERRORS: Final[Mapping[ApiKind, Callable[[StreamError], str]]] = {"openai": error_frames, "anthropic": error_frame}
"""The errors of the protocols whose events have no numbers."""


class VerbatimEncoder:
    """Encodes the frames that the events of a verbatim request hold in `raw`, as the provider sent them.

    Everything else in the events is ignored, but for what the provider cannot tell: a restart after any frame, a gap, a
    cancel, and a failure of the job itself end the response in the form of the protocol.

    Args:
        api: The protocol of the frames.
        starting_after: The `sequence_number` of the last event that the client has; `None` if it has none. Only the
            events of Responses have such numbers.
    """

    headers: Mapping[str, str] = MappingProxyType({})
    """None beside those of every stream."""
    replay_from: ReplayFrom = ReplayFrom.BEGINNING
    """The beginning: a frame may begin in an entry before that of its end."""
    opening: bytes = b""
    """Nothing: the first frame is the provider's."""

    def __init__(self, api: ApiKind, *, starting_after: int | None = None) -> None:
        self.is_over: bool = False
        """True after the ending, and after an error."""
        self.newest: Frame | None = None
        """The newest frame: for a plain call its whole body."""
        self._api: ApiKind = api
        self._after = -1 if starting_after is None else starting_after
        self._restarts = Restarts()
        self._decoder = FrameDecoder()
        self._response = NewestResponse()
        self._has_error = False
        """True if the newest frame is the event of an error."""

    def encode(self, event: Event) -> bytes:
        """Encode the next event.

        Args:
            event: The next event of the tail.

        Returns:
            The frames that end with the event, without those that the client has; empty if there is none.
        """
        if self.is_over:
            return b""
        # Two attempts are two answers, whatever the second one is said to do.
        if self._restarts.is_restart(event) or isinstance(event, Started):
            if self.newest is not None:
                return self._fail(STARTED_AGAIN)
            self._decoder = FrameDecoder()
        raw: bytes | None = getattr(event, "raw", None)
        frames = b"".join(map(self._frame, self._decoder.feed(raw))) if raw else b""
        match event:
            case Gap():
                return self._fail(GAP)
            case Cancelled():
                return frames + self._end(event)
            case Failed() if not raw or (self._api == "anthropic" and not self._has_error):
                return frames + self._end(event)
            case Completed() | Failed():
                self.is_over = True
            case _:
                pass
        return frames

    def broken_off(self) -> bytes:
        """Tell the client that the job cannot be read to its ending, although it may go on.

        Returns:
            The last frames of the response.
        """
        return self._fail(StreamError.broken_off())

    @property
    def response_id(self) -> str | None:
        """The id of the response, once a frame of Responses has one."""
        return self._response.response_id

    def _frame(self, frame: Frame) -> bytes:
        self.newest = frame
        # Clients of Messages know an event only by its name. The body of an error with status 200 has none.
        self._has_error = frame.name == b"error"
        if self._api == "openai-responses":
            before, number = self._response.number, self._response.add(frame.data)
            # A frame without a number is sent with the one before it.
            if (number is None and before < self._after) or (number is not None and number <= self._after):
                return b""
        name = b"event: %b\n" % frame.name if frame.name else b""
        return b"%bdata: %b\n\n" % (name, frame.data.replace(b"\n", b"\ndata: "))

    def _end(self, ending: Failed | Cancelled) -> bytes:
        response = self._response.response(ending)
        if response is None:
            return self._fail(StreamError.of(ending))
        # OpenAI has no event for a response that was cancelled.
        kind = "failed" if isinstance(ending, Failed) else "incomplete"
        return self._numbered(begun_frame(f"response.{kind}", {"response": response}))

    def _fail(self, error: StreamError) -> bytes:
        self.is_over = True
        if self._api == "openai-responses":
            return self._numbered(begun_error(error))
        return _ERRORS[self._api](error).encode()

    def _numbered(self, begun: str) -> bytes:
        """Return the last frames, which go on with the numbers of the provider."""
        self.is_over = True
        number = self._response.number + 1
        return f"{numbered(begun, number) if number > self._after else ''}{DONE}".encode()
