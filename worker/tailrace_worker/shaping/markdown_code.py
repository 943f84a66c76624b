"""Finds out which parts of a Markdown text are code, while the text is read."""

import re
from typing import Final

TICKS: Final = r"`{1,64}+(?=[^`])|~{3,64}+(?=[^~])"
"""What may begin or end code; each match goes to `Code.see`."""

_BEFORE_FENCE: Final = re.compile(r"[\s>]*(?:(?:[-+*]|\d+[.)])\s+)?")
_END_OF_FENCE: Final = re.compile(r"[\s>]*(`{3,}|~{3,})\s*")
_JSON: Final = re.compile(r"(?i)\s*json[5cl]?(?![\w-])")


class Code:
    """The state of a text that is read: whether it is in code, and in which kind.

    Code is the content of a fence, and the text in a line between two runs of backticks of the same length. If the
    second run is missing, the rest of the line is code. An indented line is not code, because answers indent lists and
    JSON. A fence of JSON is recognised by its language or, if it has none, by its first character.
    """

    def __init__(self) -> None:
        self._fence = ""
        """The ticks that have opened the fence."""
        self._opening = ""
        """The ticks that open a fence, unless more backticks follow in the same line."""
        self._span = ""
        self._has_json: bool | None = None
        """True if the fence has JSON; `None` until its first character decides."""

    @property
    def is_fence(self) -> bool:
        """True if only the end of the line matters."""
        return (bool(self._fence) and self._has_json is False) or self._opening.startswith("~")

    @property
    def is_span(self) -> bool:
        """True if only backticks and the end of the line matter."""
        return bool(self._span)

    @property
    def is_json(self) -> bool:
        """True in a fence of JSON, in which backticks mean nothing unless they end it."""
        return bool(self._fence) and self._has_json is True

    @property
    def is_unknown(self) -> bool:
        """True if the first character of a fence has to go to `begin`. The `>` of a quote does not count."""
        return bool(self._fence) and self._has_json is None

    def see(self, ticks: str, line: str) -> None:
        """Take ticks outside of a fence.

        Args:
            ticks: A match of `TICKS`.
            line: The text before them in their line.
        """
        begins = not self._span
        may_open = begins and len(ticks) >= 3 and _BEFORE_FENCE.fullmatch(line)
        # No backticks may follow those of a fence in the same line.
        self._opening = ticks if may_open else ""
        if begins and ticks.startswith("`"):
            self._span = ticks
        elif ticks == self._span:
            self._span = ""

    def begin(self, character: str) -> None:
        """Take the first character of a fence that has no language."""
        self._has_json = character in "[{"

    def end_line(self, line: str) -> bool:
        """Take the end of a line.

        Args:
            line: The line, or the last part of it.

        Returns:
            True if a fence begins or ends here.
        """
        was = self._fence
        if self._fence:
            end = _END_OF_FENCE.fullmatch(line)
            if end and end[1].startswith(self._fence):
                self._fence = ""
        elif self._opening:
            self._fence = self._opening
            # If the ticks are not in the last part of a long line, what followed them was too long for a language.
            _, ticks, language = line.partition(self._opening)
            self._has_json = None if ticks and not language.strip() else bool(ticks and _JSON.match(language))
        self._opening = self._span = ""
        return self._fence != was
