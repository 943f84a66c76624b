"""Control characters in what a model says, which must not reach a terminal: it would obey them."""

import os
from typing import Final

_PICTURES: Final = 0x2400
"""Where Unicode has its pictures of control characters."""

_SHOWN: Final[dict[int, str | None]] = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in "\t\n"},
    # At the end of a line it changes nothing; anywhere else it would write over the line.
    ord("\r"): None,
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}"),
    # They reorder what follows: code would be shown as other code than it is.
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
}


def visible(text: str) -> str:
    """The text with pictures in place of control characters, other than tab and line feed."""
    return text.translate(_SHOWN)


def visible_line(text: str) -> str:
    """The same on one line."""
    return " ".join(visible(text).split())


def is_dumb() -> bool:
    """Whether the terminal shows our own control characters, and does not obey them."""
    return os.environ.get("TERM") in {None, "", "dumb", "unknown"}
