"""Replaces control characters in the text of a model, because a terminal would obey them."""

import os
from typing import Final

_PICTURES: Final = 0x2400
"""The first of Unicode's symbols for control characters."""

_SHOWN: Final[dict[int, str | None]] = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in "\t\n"},
    # Dropped: before a line feed it changes nothing, and anywhere else it would make the terminal overwrite the line.
    ord("\r"): None,
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}"),
    # They reorder the text after them, so that code would look like other code.
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
}


def visible(text: str) -> str:
    """Return the text with symbols in place of control characters other than tab and line feed."""
    return text.translate(_SHOWN)


def visible_line(text: str) -> str:
    """Return the text on one line, with symbols in place of control characters."""
    return " ".join(visible(text).split())


def is_dumb() -> bool:
    """Return whether the terminal would print escape sequences instead of obeying them."""
    return os.environ.get("TERM") in {None, "", "dumb", "unknown"}
