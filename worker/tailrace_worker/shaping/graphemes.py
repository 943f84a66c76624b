"""Finds where an unfinished text may be cut: only between the characters that a person sees (UAX #29)."""

from typing import Final

import regex

_MAX_CLUSTER_CHARS: Final = 128
"""The longest cluster that is not cut. No script has longer ones: stream-safe text has at most 30 marks in a row
(UAX #15)."""

_CLUSTER: Final = regex.compile(r"[\uD800-\uDBFF][\uDC00-\uDFFF]|\X")

_BREAKING: Final = r"[[\p{GCB=XX}\p{GCB=LV}\p{GCB=LVT}\p{GCB=CN}\p{GCB=LF}]--\p{Cs}]"
_APART: Final = regex.compile(rf"(?V1){_BREAKING}{{2}}")
"""Two characters between which the text may always be cut."""

_SCRIPTS: Final = r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{P}\p{S}\p{Z}\p{Cc}]"
_PLAIN: Final = regex.compile(rf"(?V1)[{_SCRIPTS}&&{_BREAKING}--\p{{Emoji}}]")
"""Characters that usually have no marks or joiners after them."""


def safe_cut(text: str) -> int:
    """Return the last position at which a text may be cut, whatever follows it; 0 if there is none.

    Args:
        text: The text so far.
    """
    end = len(text)
    # Most texts end like this, and need not be searched from the beginning.
    if _APART.match(text, end - 2):
        return end - 1
    last = 0
    for cluster in _CLUSTER.finditer(text):
        last = cluster.start()
    return last if last or end <= _MAX_CLUSTER_CHARS else end


def likely_cut(text: str) -> int:
    """Return where to cut a text if nothing follows for now.

    That is the end of the text, unless its last character often has marks after it. Then it is as `safe_cut` returns.

    Args:
        text: The text so far.
    """
    end = len(text)
    return end if end and _PLAIN.match(text, end - 1) else safe_cut(text)
