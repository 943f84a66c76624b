"""`AnswerLimits`: how much of an answer is read, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """Of the answers of one provider."""

    max_body_bytes: int = 64 * 1024 * 1024
    """How large an answer may be that is not streamed."""
    settle_seconds: float = 10.0
    """How long to wait for more after the finish reason. Most servers then close the stream; some send usage, or
    text."""
    rest_seconds: float = 2.0
    """How long the rest of a finished answer is read, so that its connection can be used again."""
    max_rest_bytes: int = 1024 * 1024
    """How much of it is read."""
    large_bytes: int = 1_048_576
    """An answer that holds no more than this takes nothing of what the large ones share."""
    shared_bytes: int = 50_331_648
    """How much large answers may hold together of what cannot be read in parts."""
