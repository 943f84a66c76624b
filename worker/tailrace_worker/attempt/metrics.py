"""The metrics in an ending: the provider and model that answered, token counts and times."""

import time
from dataclasses import dataclass, field
from typing import TypedDict

from tailrace.protocol.attempts import Began
from tailrace.request.any_request import AnyRequest
from tailrace_worker.providers.base import TokenCounts


class Measured(TypedDict):
    """The fields that all endings share."""

    at: int
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_input_tokens: int | None
    reasoning_tokens: int | None
    queued_ms: int
    ttft_ms: int | None
    duration_ms: int
    tokens_per_second: float | None
    provider: str | None
    model: str | None


@dataclass(slots=True)
class Metrics:
    """The measurements of one attempt.

    Times are the server's time of `started` plus the elapsed time, and so do not depend on the worker's clock.
    """

    began: Began
    _began: float = field(default_factory=time.monotonic)
    _called: float | None = None
    _first_token: float | None = None
    _is_streamed: bool = False
    _usage: TokenCounts = field(default_factory=TokenCounts)

    def call(self, *, is_streamed: bool) -> None:
        """Note that the provider is called now.

        Args:
            is_streamed: False for a plain call. Its whole answer arrives at once, so it has no tokens per second.
        """
        self._called = time.monotonic()
        self._is_streamed = is_streamed

    def speak(self) -> None:
        """Note that a piece of the answer has arrived. Only the first one counts."""
        if self._first_token is None:
            self._first_token = time.monotonic()

    def use(self, usage: TokenCounts) -> None:
        """Note the tokens that the provider has counted."""
        self._usage = self._usage.updated(usage)

    def read(self, called: AnyRequest | None) -> Measured:
        """Return the metrics of an attempt that ends now.

        Args:
            called: The request of the last call; `None` if no provider was called.
        """
        now = time.monotonic()
        usage, first = self._usage, self._first_token
        tokens = usage.output_tokens
        return Measured(
            at=self.began.at + _ms(now - self._began),
            input_tokens=usage.input_tokens,
            output_tokens=tokens,
            cached_input_tokens=usage.cached_input_tokens,
            cache_write_input_tokens=usage.cache_write_input_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            queued_ms=max(0, self.began.at - self.began.queued_at),
            ttft_ms=_ms(first - self._called) if first is not None and self._called is not None else None,
            duration_ms=_ms(now - self._began),
            tokens_per_second=round(tokens / (now - first), 1)
            if tokens and self._is_streamed and first is not None and now > first
            else None,
            provider=called.provider if called else None,
            model=called.model if called else None,
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
