"""`Tally`: many of a kind in one line of the log."""

import asyncio
import logging
from typing import Final

_SECONDS: Final = 1.0


class Tally:
    """Counts what comes in a burst, and logs it once, a second after the first of them."""

    def __init__(self, logger: logging.Logger, message: str) -> None:
        """`message` has a `%d` for their number."""
        self._logger = logger
        self._message = message
        self._count = 0

    def add(self, count: int = 1) -> None:
        """So many more."""
        if count and not self._count:
            asyncio.get_running_loop().call_later(_SECONDS, self._tell)
        self._count += count

    def _tell(self) -> None:
        count, self._count = self._count, 0
        self._logger.warning(self._message, count)
