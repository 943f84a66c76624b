"""The characters around a match, and characters that are written in more than one way."""

from typing import Final

# Models also write numbers with non-breaking spaces and hyphens. Both constants are parts of RE2's character classes.
SPACE: Final = r" \x{A0}\x{2009}\x{202F}"
HYPHEN: Final = r"\x{2010}\x{2011}-"


def character_before(text: bytes, place: int) -> str:
    """Return the character before a position, or an empty text at the beginning."""
    # A lone surrogate counts as a character too. To look past it would need more text than may have arrived.
    return text[max(0, place - 4) : place].decode(errors="replace")[-1:]


def character_after(text: bytes, place: int) -> str:
    """Return the character after a position, or an empty text at the end."""
    return text[place : place + 4].decode(errors="replace")[:1]
