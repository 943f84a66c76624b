"""`Tally`: many of a kind in one line of the log."""

import asyncio
import logging


class Tally:
    """Counts what comes in a burst, and logs it once, a second after the first of them."""

    def __init__(self, logger: logging.Logger, message: str, *, seconds: float = 1.0) -> None:
        """Count nothing yet.

        Args:
            logger: Where to log.
            message: Has a `%d` for their number.
            seconds: How long after the first of them the line is logged.
        """
        self.seconds = seconds
        self._logger = logger
        self._message = message
        self._count = 0

    def add(self, count: int = 1) -> None:
        """So many more."""
        if count and not self._count:
            asyncio.get_running_loop().call_later(self.seconds, self._tell)
        self._count += count

    def _tell(self) -> None:
        count, self._count = self._count, 0
        self._logger.warning(self._message, count)
