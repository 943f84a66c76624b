"""Which of a Markdown text is code, while the text is read."""

import re
from typing import Final

TICKS: Final = r"`{1,64}+(?=[^`])|~{3,64}+(?=[^~])"
"""What may begin or end code, to be handed to `Code.see`."""

_BEFORE_FENCE: Final = re.compile(r"[\s>]*(?:(?:[-+*]|\d+[.)])\s+)?")
_END_OF_FENCE: Final = re.compile(r"[\s>]*(`{3,}|~{3,})\s*")
_JSON: Final = re.compile(r"(?i)\s*json[5cl]?(?![\w-])")


class Code:
    """Code is what stands in a fence, and what stands in a line between backticks, as many as before and behind it.

    Where those behind are missing, it is the rest of the line. An indented line is none: answers indent lists and JSON.
    A fence of JSON is told from the others by its language, or where it has none by what it begins with.
    """

    def __init__(self) -> None:
        self._fence = ""
        """What has opened the fence."""
        self._opening = ""
        """What opens one if its line goes on as the first of a fence may."""
        self._span = ""
        self._has_json: bool | None = None
        """Whether the fence is one of JSON; `None` where what it begins with has to tell."""

    @property
    def is_fence(self) -> bool:
        """Whether nothing before the end of the line matters."""
        return (bool(self._fence) and self._has_json is False) or self._opening.startswith("~")

    @property
    def is_span(self) -> bool:
        """Whether nothing but backticks matters before that."""
        return bool(self._span)

    @property
    def is_json(self) -> bool:
        """Whether it is a fence of JSON, in which backticks mean nothing before they end it."""
        return bool(self._fence) and self._has_json is True

    @property
    def is_unknown(self) -> bool:
        """Whether it is a fence whose first character is to be handed to `begin`; a `>` of a quote is none."""
        return bool(self._fence) and self._has_json is None

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

    def begin(self, character: str) -> None:
        """A fence that names no language begins with this."""
        self._has_json = character in "[{"

    def end_line(self, line: str) -> bool:
        """The line has ended; it, or the last of it, was this. Says whether a fence begins or ends with it."""
        was = self._fence
        if self._fence:
            end = _END_OF_FENCE.fullmatch(line)
            if end and end[1].startswith(self._fence):
                self._fence = ""
        elif self._opening:
            self._fence = self._opening
            # Where the ticks are not in what is left of a long line, what followed them was no language.
            _, ticks, language = line.partition(self._opening)
            self._has_json = None if ticks and not language.strip() else bool(ticks and _JSON.match(language))
        self._opening = self._span = ""
        return self._fence != was
