"""What a box is of, as the text around it says."""

from typing import Final

import regex

_PLAIN_MARKS: Final = "*_\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
_MARKS: Final = _PLAIN_MARKS + "`"
_WORD: Final = r"[^\W\d_][\w'\u2019/&-]{0,30}"
_WORDS: Final = rf"{_WORD}(?:[ ][\w'\u2019/&-]{{1,30}}){{0,3}}"
_COLON: Final = r"(?:[:=|\u2013\u2014\u2192]|[-=]>?)"
_ENDED: Final = r"[,;.!?|)\]>]"
"""Behind these, and where a line begins, words are about something new."""

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
"""What follows is read past with its label, so that no backtick may be among it: one begins code, or ends it."""

_GENERIC: Final = regex.compile(
    r"(?i)(?:the )?(?:bounding )?(?:b?box(?:es)?(?:_2d)?|coord(?:inate)?s?|position|location|region|rect(?:angle)?"
    r"|label|answer|result|output)(?: \d+)?"
)
_LEADING: Final = regex.compile(
    r"(?i)an?|and|are|around|as|at|be|by|for|from|has|have|in|inside|is|near|of|on|or|see|that|the|to|was|with"
)
"""If such a word stands next to the box, the box is in the middle of a sentence, which names nothing."""


def is_generic(words: str) -> bool:
    """Whether this says no more than that a box follows."""
    return bool(_GENERIC.fullmatch(words))


def label_before(line: str) -> str | None:
    """The label that the line gives, up to where the box begins."""
    found = _TAGGED_BEFORE.search(line) or _MARKED_BEFORE.search(line) or _WORDS_BEFORE.search(line)
    return _label(found, next_to=-1) if found else None


def is_open(line: str) -> bool:
    """Whether the line, up to where the box begins, leaves a label to follow."""
    clause = regex.split(_ENDED, line)[-1].strip(_MARKS + " \t([-+*•#:=")
    return not any(map(str.isalpha, clause)) or is_generic(clause)


def label_after(text: str, start: int, *, partial: bool) -> tuple[str | None, int] | None:
    """The label that follows, with its end; `None` where it takes more text to know, which `partial` says may come."""
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
