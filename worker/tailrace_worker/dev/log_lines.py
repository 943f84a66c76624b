"""`LogLines`: the logs of several processes on one terminal."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from tailrace.cli.log_format import shortened
from tailrace.cli.tty.control_characters import is_dumb, visible

_COLOURS: Final = (36, 35, 33, 32, 94, 95)
"""Cyan, magenta, yellow, green, bright blue and bright magenta, as escape sequences number them."""


class LogLines:
    """Prints whole lines, each after the name of its process. On a terminal, each name has a colour of its own."""

    def __init__(self, names: Sequence[str], *, on_error: Callable[[Exception], None]) -> None:
        """Start without a line.

        Args:
            names: The names of the processes.
            on_error: Called with the error if stdout can no longer be written, for example because its terminal is
                gone. Nothing more is printed then.
        """
        width = max(map(len, names))
        self._beginnings = {name: f"{name:{width}} |" for name in names}
        self._is_styled = sys.stdout.isatty() and not is_dumb() and not os.environ.get("NO_COLOR")
        if self._is_styled:
            for at, name in enumerate(names):
                self._beginnings[name] = f"\x1b[{_COLOURS[at % len(_COLOURS)]}m{self._beginnings[name]}\x1b[39m"
        self._on_error = on_error
        self._is_closed = False

    def show(self, name: str, line: str, *, is_strong: bool = False) -> None:
        """Print a line.

        Args:
            name: The name of the process.
            line: The line. Control characters are replaced, because a terminal would obey them.
            is_strong: True to print it in bold on a terminal.
        """
        if self._is_closed:
            return
        line = visible(shortened(line))
        if is_strong and self._is_styled:
            line = f"\x1b[1m{line}\x1b[22m"
        try:
            # In one write, so that no other output comes in between.
            sys.stdout.write(f"{self._beginnings[name]} {line}".rstrip() + "\n")
            sys.stdout.flush()
        except OSError as error:
            self._is_closed = True
            self._on_error(error)
