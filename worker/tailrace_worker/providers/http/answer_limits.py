"""`AnswerLimits`: the limits to the size of an answer, and to the time for reading its end."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """The limits to the answers of one provider."""

    max_body_bytes: int = 64 * 1024 * 1024
    """The largest answer that is not streamed."""
    settle_seconds: float = 10.0
    """How long to wait for more data after the finish reason. Most servers then end the stream; some still send usage
    or text."""
    rest_seconds: float = 2.0
    """How long to read the rest of a finished answer, so that its connection can be used again."""
    max_rest_bytes: int = 1024 * 1024
    """How much of that rest to read."""
    large_bytes: int = 1_048_576
    """An answer that holds more than this counts as large, and takes from the shared bytes."""
    shared_bytes: int = 50_331_648
    """How many bytes the large answers may hold together of events and bodies that cannot be read in parts."""
