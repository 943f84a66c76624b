"""Finds the label of a box in the text around it."""

from typing import Final

import regex

_PLAIN_MARKS: Final = "*_\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
_MARKS: Final = _PLAIN_MARKS + "`"
_WORD: Final = r"[^\W\d_][\w'\u2019/&-]{0,30}"
_WORDS: Final = rf"{_WORD}(?:[ ][\w'\u2019/&-]{{1,30}}){{0,3}}"
_COLON: Final = r"(?:[:=|\u2013\u2014\u2192]|[-=]>?)"
_ENDED: Final = r"[,;.!?|)\]>]"
"""After one of these, and at the beginning of a line, the words are about something new."""

_TAGGED: Final = r"<(?:p|phrase|label)>(?P<label>[^<>\[\n]{1,80})</[a-z]{1,8}>"
_REFERRED: Final = (
    r"<(?:ref|\|ref\||\|object_ref_start\|)>(?P<label>[^<>\[\n]{1,80})<(?:/ref|\|/ref\||\|object_ref_end\|)>"
)
"""The content of these tags always names the boxes that follow."""
_QUOTES: Final = r"(?:[\"\u201c\u201d\u00ab\u00bb]|\*\*?|__?|`)"
_MARKED: Final = rf"{_QUOTES}(?P<label>[^{_MARKS}\n]{{1,80}}){_QUOTES}"

_TAGGED_BEFORE: Final = regex.compile(rf"(?:{_TAGGED}|{_REFERRED})\s*$")
_MARKED_BEFORE: Final = regex.compile(rf"{_MARKED}\s*{_COLON}?\s*[\[(]*$")
_WORDS_BEFORE: Final = regex.compile(
    rf"(?:^|{_ENDED})\s*(?:(?:[-+*•#]+|\d+[.)])\s+)*[{_MARKS}]*"
    rf"(?P<label>{_WORDS})[{_MARKS}]*\s*(?P<colon>{_COLON}?)[{_MARKS}]*\s*[\[(]*$"
)
_AFTER: Final = regex.compile(
    rf"[ \t]{{0,4}}{_TAGGED}"
    rf"|[{_PLAIN_MARKS}]{{0,3}}[ \t]{{0,4}}(?P<colon>(?:{_COLON}|\()?)[ \t]{{0,4}}[{_PLAIN_MARKS}]{{0,3}}"
    rf"(?P<label>{_WORDS})[{_PLAIN_MARKS}]{{0,3}}[ \t]{{0,4}}(?=[\n<\[(]|{_ENDED})"
)
"""A label after the box. The scanner skips the match, so it must not contain a backtick, which begins or ends code."""

_GENERIC: Final = regex.compile(
    r"(?i)(?:the )?(?:bounding )?(?:b?box(?:es)?(?:_2d)?|coord(?:inate)?s?|position|location|region|rect(?:angle)?"
    r"|label|answer|result|output)(?: \d+)?"
)
_LEADING: Final = regex.compile(
    r"(?i)an?|and|are|around|as|at|be|by|for|from|has|have|in|inside|is|near|of|on|or|see|that|the|to|was|with"
)
"""If one of these words is next to the box, the box is in the middle of a sentence, whose words are not a label."""


def is_generic(words: str) -> bool:
    """Return whether words say only that a box follows, as `Bounding box` does."""
    return bool(_GENERIC.fullmatch(words))


def label_before(line: str) -> str | None:
    """Return the label before a box, or `None` if there is none.

    Args:
        line: The line, up to the beginning of the box.
    """
    found = _TAGGED_BEFORE.search(line) or _MARKED_BEFORE.search(line) or _WORDS_BEFORE.search(line)
    return _label(found, next_to=-1) if found else None


def is_open(line: str) -> bool:
    """Return whether a label may follow a box.

    Args:
        line: The line, up to the beginning of the box.
    """
    clause = regex.split(_ENDED, line)[-1].strip(_MARKS + " \t([-+*•#:=")
    return not any(map(str.isalpha, clause)) or is_generic(clause)


def label_after(text: str, start: int, *, partial: bool) -> tuple[str | None, int] | None:
    """Find a label after a box.

    Args:
        text: The text.
        start: Where the box ends.
        partial: True if more text may follow.

    Returns:
        The label and its end; `(None, start)` if there is no label; `None` if more text has to decide.
    """
    found = _AFTER.match(text, start, partial=partial)
    if found is None:
        return None, start
    if found.partial:
        return None
    label = _label(found, next_to=0)
    return label, found.end() if label else start


def _label(found: regex.Match[str], *, next_to: int) -> str | None:
    label: str = found["label"].strip(_MARKS + " :-")
    has_colon = "colon" not in found.groupdict() or found["colon"]
    if not label or is_generic(label):
        return None
    return label if has_colon or not _LEADING.fullmatch(label.split()[next_to]) else None
