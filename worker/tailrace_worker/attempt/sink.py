"""The sink of an attempt: it writes the provider's pieces to the job's stream."""

import asyncio

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Box, Citation, Delta, Frames, Notice, Reasoning, Refusal, ToolCall
from tailrace_worker.attempt.metrics import Metrics
from tailrace_worker.attempt.plan import Plan
from tailrace_worker.providers.base import Content, Finish, Piece, TokenCounts
from tailrace_worker.publishing.stream_writer import StreamWriter


class Sink:
    """The sink of one attempt, which hands pieces to the stream's writer, and keeps those that belong in the ending."""

    def __init__(self, plan: Plan, writer: StreamWriter, metrics: Metrics, deadline: asyncio.Timeout) -> None:
        """Connect the parts of one attempt.

        Args:
            plan: Counts the bytes, and remembers the text for a later attempt.
            writer: The writer of the job's stream.
            metrics: Measures the times, and keeps the token counts.
            deadline: The time limit of the attempt, which is lifted once the answer has finished.
        """
        self._plan = plan
        self._writer = writer
        self._metrics = metrics
        self._deadline = deadline
        self._remembers = plan.remembers
        self._is_silent = True
        self._finish: Finish | None = None

    def take(self, piece: Piece) -> None:
        """Take the next piece.

        Args:
            piece: The piece.

        Raises:
            StreamLost: The attempt may no longer write to the stream.
            ProviderError: The answer is longer than it may be.
        """
        match piece:
            case Delta() | Reasoning() | Refusal() | ToolCall():
                if self._is_silent:
                    self._is_silent = False
                    self._plan.has_spoken = True
                    self._metrics.speak()
                plan = self._plan
                if type(piece) is Delta and piece.text.isascii() and len(piece.text) <= plan.left_bytes:
                    # Nearly all pieces. `_said_bytes` and `spend` would take longer than all the rest.
                    plan.left_bytes -= len(piece.text)
                else:
                    plan.spend(_said_bytes(piece))
                if piece.raw is not None:
                    plan.spend_raw(len(piece.raw))
                self._writer.write(piece)
                if self._remembers:
                    plan.remember(piece)
            case Citation() | Notice() | Box():
                self._plan.has_spoken = True
                self._plan.spend(_said_bytes(piece))
                if not isinstance(piece, Box) and piece.raw is not None:
                    self._plan.spend_raw(len(piece.raw))
                self._writer.write(piece)
            case Frames():
                self._plan.has_spoken = True
                self._plan.spend_raw(len(piece.raw))
                self._writer.write(piece)
            case TokenCounts():
                self._metrics.use(piece)
            case Finish():
                self._plan.spend_raw(len(piece.raw or b""))
                self._finish = piece
                self._deadline.reschedule(None)

    @property
    def finish(self) -> Finish:
        """The provider's finish.

        Raises:
            ProviderError: The answer ended without a finish.
        """
        if self._finish is None:
            raise ProviderError(
                "The provider's stream ended without a finish reason.",
                code=FailureCode.PROVIDER_INTERRUPTED,
                retryable=True,
            )
        return self._finish


def _said_bytes(content: Content) -> int:
    """Return how many bytes of UTF-8 the texts of a piece have."""
    texts: tuple[str | None, ...]
    match content:
        case Delta(text=text) | Refusal(text=text):
            texts = (text,)
        case Reasoning():
            texts = content.text, content.signature
        case ToolCall():
            texts = content.call_id, content.name, content.arguments
        case Citation():
            texts = content.url, content.title, content.quote, content.file_id, content.container_id
        case Notice():
            texts = content.code, content.message
        case Box(label=label):
            texts = (label,)
    return sum(_bytes(text) for text in texts if text)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
