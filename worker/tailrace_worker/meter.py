"""What an ending tells of its attempt: tokens and times."""

import time
from dataclasses import dataclass, field
from typing import TypedDict

from tailrace.attempts import Began
from tailrace_worker.provider import Finish, Piece, Usage


class Measured(TypedDict):
    """The fields that all endings share."""

    at: int
    input_tokens: int | None
    output_tokens: int | None
    queued_ms: int
    ttft_ms: int | None
    duration_ms: int
    tokens_per_second: float | None


@dataclass(slots=True)
class Meter:
    """Watches one attempt. Its clock runs from `started`, in the server's time, whatever the worker's clock says."""

    began: Began
    _began: float = field(default_factory=time.monotonic)
    _called: float | None = None
    _first_token: float | None = None
    _usage: Usage = field(default_factory=Usage)

    def call(self) -> None:
        """The provider is called now."""
        self._called = time.monotonic()

    def see(self, piece: Piece) -> None:
        """A piece has come."""
        match piece:
            case Usage():
                self._usage = Usage(
                    input_tokens=_newer(piece.input_tokens, self._usage.input_tokens),
                    output_tokens=_newer(piece.output_tokens, self._usage.output_tokens),
                )
            case Finish():
                pass
            case _:
                if self._first_token is None:
                    self._first_token = time.monotonic()

    def read(self) -> Measured:
        """The measures, were the attempt to end now."""
        now = time.monotonic()
        tokens, first = self._usage.output_tokens, self._first_token
        return Measured(
            at=self.began.at + _ms(now - self._began),
            input_tokens=self._usage.input_tokens,
            output_tokens=tokens,
            queued_ms=max(0, self.began.at - self.began.queued_at),
            ttft_ms=_ms(first - self._called) if first is not None and self._called is not None else None,
            duration_ms=_ms(now - self._began),
            tokens_per_second=round(tokens / (now - first), 1)
            if tokens and first is not None and now > first
            else None,
        )


def _newer(said: int | None, before: int | None) -> int | None:
    return before if said is None else said


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
