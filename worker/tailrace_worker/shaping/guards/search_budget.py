"""`SearchBudget`: how much processor time the guards of one request may take for their searches."""

from dataclasses import dataclass

from tailrace.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """The processor time that a request's searches may take. The defaults suit every deployment; tests pass others."""

    seconds: float = 1.0
    """The time for any text."""
    seconds_per_byte: float = 20e-6
    """The further time for each byte of text. The built-in kinds take as much for dense numbers, and 1,000 words of a
    request take a hundredth of it."""


class SearchBudget:
    """The processor time for the searches of one request's guards: 1 s, and 20 microseconds per byte of text.

    A pattern does not show how long RE2 takes for it. Once the states of a program have filled its memory, it may go
    through all instructions for each byte, and again for each piece, as far back as a match may have begun.
    """

    def __init__(self, limits: SearchLimits) -> None:
        """Start with the time for an empty text.

        Args:
            limits: The time that searches may take.
        """
        self._limits = limits
        self._left_seconds = limits.seconds

    def extend(self, text_bytes: int) -> None:
        """Add the time for more text.

        Args:
            text_bytes: The length of the text.
        """
        self._left_seconds += text_bytes * self._limits.seconds_per_byte

    def spend(self, seconds: float) -> None:
        """Count the time of a search.

        Args:
            seconds: How long it took.

        Raises:
            InvalidRequest: The budget is used up.
        """
        self._left_seconds -= seconds
        if self._left_seconds < 0:
            raise InvalidRequest(
                "The guards' own words and patterns take too long to look for: use fewer, or shorter repetitions."
            )
