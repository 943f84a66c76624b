"""Where sentences end, in text that is still on its way."""

from typing import Final

import regex

_NARROW: Final = r".!?\u2026"
_WIDE: Final = r"\u3002\uff01\uff1f"
_STOP: Final = f"[{_NARROW}{_WIDE}]"
_CLOSING: Final = r"\p{Pe}\p{Pf}\"'*_`"
_OPENING: Final = r"\p{Pi}"
"""What closes as well before a space, and opens directly behind a full-width stop."""
_MARK: Final = r"\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SM}"

_ABBREVIATION: Final = r"(?<![^\s\p{Ps}\p{Pi}\"'*_])(?:(?:\p{L}\.){0,4}\p{L}|(?i:mr|mrs|ms|dr|prof|st|vs|cf|etc))"
"""What stands before a stop that ends no sentence: an initial, `e.g`, `z.B`, `Dr`."""

_END: Final = regex.compile(
    rf"(?<!{_STOP})(?:[{_NARROW}]*[{_WIDE}]{_STOP}*+[{_CLOSING}]*+(?=[^{_MARK}])"
    rf"|(?:(?<!{_ABBREVIATION})\.|[!?\u2026]|{_STOP}{{2,}}+)[{_CLOSING}{_OPENING}]*+(?=\s))"
)
_ANY_STOP: Final = regex.compile(_STOP)
_SETTLED: Final = regex.compile(rf"(?r)[^{_NARROW}{_WIDE}{_CLOSING}{_OPENING}]")


def last_sentence_end(text: str, seen: int) -> int:
    """The end of the last sentence, with its closing quotes and brackets; 0 where none ends but those seen before.

    It takes a space behind a stop to tell one from `3.14`, `e.g.` or a URL. A full-width stop takes any character. So
    of the text that was `seen`, in which no sentence ended, the last characters are looked at again.
    """
    start = seen
    if seen and not text[seen - 1].isalnum():
        last = _SETTLED.search(text, 0, seen)
        start = last.end() if last else 0
    if start == seen and not _ANY_STOP.search(text, seen):
        return 0
    end = 0
    for sentence in _END.finditer(text, start):
        end = sentence.end()
    return end
