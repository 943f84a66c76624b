"""Where a text that goes on may be cut: between what a reader takes for characters (UAX #29), never inside of one."""

from typing import Final

import regex

_MAX_CLUSTER_CHARS: Final = 128
"""What is longer is no character of any script: stream-safe text has 30 marks in a row at most (UAX #15)."""

_CLUSTER: Final = regex.compile(r"[\uD800-\uDBFF][\uDC00-\uDFFF]|\X")

_BREAKING: Final = r"[[\p{GCB=XX}\p{GCB=LV}\p{GCB=LVT}\p{GCB=CN}\p{GCB=LF}]--\p{Cs}]"
_APART: Final = regex.compile(rf"(?V1){_BREAKING}{{2}}")
"""Between these two there is always a cut."""

_SCRIPTS: Final = r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{P}\p{S}\p{Z}\p{Cc}]"
_PLAIN: Final = regex.compile(rf"(?V1)[{_SCRIPTS}&&{_BREAKING}--\p{{Emoji}}]")
"""In text as it is written a character by itself, while after others marks and joiners are usual."""


def safe_cut(text: str) -> int:
    """The last place at which the text may be cut, whatever follows it; 0 where there is none."""
    end = len(text)
    # Most text ends like this, and need not be walked through.
    if _APART.match(text, end - 2):
        return end - 1
    last = 0
    for cluster in _CLUSTER.finditer(text):
        last = cluster.start()
    return last if last or end <= _MAX_CLUSTER_CHARS else end


def likely_cut(text: str) -> int:
    """The same, where nothing follows for now: the end, unless its last character is of a kind that often goes on."""
    end = len(text)
    return end if end and _PLAIN.match(text, end - 1) else safe_cut(text)
