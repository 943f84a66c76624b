"""The format in which the verbs that serve write their logs."""

import re
from typing import Final

LOG_FORMAT: Final = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"

_BEGINNING: Final = re.compile(r"^\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d),\d{3} \d+ ([A-Z]+) [\w.]+: ")


def shortened(line: str) -> str:
    """Return a line of a log with the time and the level, and without date, milliseconds, process id and logger.

    Args:
        line: The line. One that does not begin in this format, such as one of a traceback, is returned unchanged.
    """
    return _BEGINNING.sub(r"\1 \2 ", line)
