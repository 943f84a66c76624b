"""Which of a Markdown text is code, while the text is read."""

import re
from typing import Final

TICKS: Final = r"`{1,64}+(?=[^`])|~{3,64}+(?=[^~])"
"""What may begin or end code, to be handed to `Code.see`."""

_BEFORE_FENCE: Final = re.compile(r"[\s>]*(?:(?:[-+*]|\d+[.)])\s+)?")
_END_OF_FENCE: Final = re.compile(r"[\s>]*(`{3,}|~{3,})\s*")


class Code:
    """Code is what stands in a fence, and what stands in a line between backticks, as many as before and behind it.

    Where those behind are missing, it is the rest of the line. An indented line is none: answers indent lists and JSON.
    """

    def __init__(self) -> None:
        self._fence = ""
        """What has opened the fence."""
        self._opening = ""
        """What opens one if its line goes on as the first of a fence may."""
        self._span = ""

    @property
    def is_fence(self) -> bool:
        """Whether nothing before the end of the line matters."""
        return bool(self._fence) or self._opening.startswith("~")

    @property
    def is_span(self) -> bool:
        """Whether nothing but backticks matters before that."""
        return bool(self._span)

    def see(self, ticks: str, line: str) -> None:
        """Ticks have come, outside of a fence, and the line up to them was this."""
        begins = not self._span
        may_open = begins and len(ticks) >= 3 and _BEFORE_FENCE.fullmatch(line)
        # What is behind the backticks of a fence, in their line, has none itself.
        self._opening = ticks if may_open else ""
        if begins and ticks.startswith("`"):
            self._span = ticks
        elif ticks == self._span:
            self._span = ""

    def end_line(self, line: str) -> None:
        """The line has ended; in a fence it was this."""
        if self._fence:
            end = _END_OF_FENCE.fullmatch(line)
            if end and end[1].startswith(self._fence):
                self._fence = ""
        else:
            self._fence = self._opening
        self._opening = self._span = ""
