"""`Backoff`: how long to pause before the next retry."""


class Backoff:
    """Pauses that double from one retry to the next, up to a limit."""

    __slots__ = ("_seconds", "first_seconds", "last_seconds")

    def __init__(self, *, first_seconds: float, last_seconds: float) -> None:
        """Start with the first pause.

        Args:
            first_seconds: The pause before the first retry.
            last_seconds: The longest pause; at least `first_seconds`.
        """
        self.first_seconds: float = first_seconds
        self.last_seconds: float = last_seconds
        self._seconds = first_seconds

    def next_seconds(self) -> float:
        """Return the pause before the next retry, in seconds."""
        seconds = self._seconds
        self._seconds = min(2 * seconds, self.last_seconds)
        return seconds

    def reset(self) -> None:
        """Start again with the first pause: the operation has succeeded."""
        self._seconds = self.first_seconds
