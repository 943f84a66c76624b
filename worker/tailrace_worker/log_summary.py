"""`Tally`: logs many events of one kind in one line."""

import asyncio
import logging


class Tally:
    """A counter for bursts of events, which logs their number once, 1 s after the first of them."""

    def __init__(self, logger: logging.Logger, message: str, *, seconds: float = 1.0) -> None:
        """Start without events.

        Args:
            logger: Where to log.
            message: The line, with a `%d` for the number of events.
            seconds: How long after the first event the line is logged.
        """
        self.seconds = seconds
        self._logger = logger
        self._message = message
        self._count = 0

    def add(self, count: int = 1) -> None:
        """Count more events.

        Args:
            count: How many; 0 counts none.
        """
        if count and not self._count:
            asyncio.get_running_loop().call_later(self.seconds, self._tell)
        self._count += count

    def _tell(self) -> None:
        count, self._count = self._count, 0
        self._logger.warning(self._message, count)
