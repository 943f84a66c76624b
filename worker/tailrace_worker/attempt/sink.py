"""What the provider says, piece by piece, into the job's stream."""

import asyncio

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Box, Delta, Notice, Reasoning, Refusal, ToolCall
from tailrace_worker.attempt.metrics import Meter
from tailrace_worker.attempt.plan import Course
from tailrace_worker.providers.base import Content, Finish, Piece, Usage
from tailrace_worker.publishing.stream_writer import StreamWriter


class Relay:
    """Hands the pieces of one attempt to its writer, and keeps what is not for readers but for the ending."""

    def __init__(self, course: Course, writer: StreamWriter, meter: Meter, deadline: asyncio.Timeout) -> None:
        """The deadline is lifted once the answer is finished."""
        self._course = course
        self._writer = writer
        self._meter = meter
        self._deadline = deadline
        self._remembers = course.remembers
        self._is_silent = True
        self._finish: Finish | None = None

    def take(self, piece: Piece) -> None:
        """The next piece.

        Raises:
            StreamLost: The stream is no longer the attempt's.
            ProviderError: The answer is longer than it may be.
        """
        match piece:
            case Delta() | Reasoning() | Refusal() | ToolCall():
                if self._is_silent:
                    self._is_silent = False
                    self._course.has_spoken = True
                    self._meter.speak()
                self._say(piece)
                if self._remembers:
                    self._course.remember(piece)
            case Notice() | Box():
                self._course.has_spoken = True
                self._say(piece)
            case Usage():
                self._meter.use(piece)
            case Finish():
                self._finish = piece
                self._deadline.reschedule(None)

    def _say(self, content: Content) -> None:
        # Nearly all pieces are text, and the match takes longer than all the rest.
        self._course.spend(_bytes(content.text) if type(content) is Delta else _said_bytes(content))
        self._writer.write(content)

    @property
    def finish(self) -> Finish:
        """The provider's last word. Raises `ProviderError` where there was none."""
        if self._finish is None:
            raise ProviderError(
                "The provider's stream ended without a finish reason.",
                code=FailureCode.PROVIDER_INTERRUPTED,
                retryable=True,
            )
        return self._finish


def _said_bytes(content: Content) -> int:
    """How many bytes of UTF-8 its texts have."""
    texts: tuple[str | None, ...]
    match content:
        case Delta(text=text) | Refusal(text=text):
            texts = (text,)
        case Reasoning():
            texts = content.text, content.signature
        case ToolCall():
            texts = content.call_id, content.name, content.arguments
        case Notice():
            texts = content.code, content.message
        case Box(label=label):
            texts = (label,)
    return sum(_bytes(text) for text in texts if text)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
