"""Makes the rules for a guard's own words."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from tailrace_worker.shaping.guards.characters import HYPHEN, SPACE, character_after, character_before
from tailrace_worker.shaping.guards.rules import KNOWN_NEXT, Rule

WORD: Final = "word"

_RULE_CHARS: Final = 8_000
"""The most characters of all expressions of one rule, unless one word has more. Letters with accents can be written in
several ways, so RE2 could hold the interpreter for 250 ms to compile some words in one rule."""

_SAME: Final = {
    # Any white space, also the end of a line and non-breaking spaces.
    " ": rf"[\s{SPACE}]",
    **dict.fromkeys("'\u2019\u02bc", r"['\x{2019}\x{2BC}]"),
    **dict.fromkeys("-\u2010\u2011", f"[{HYPHEN}]"),
}
"""Characters that people write for one another, each with an expression that matches all of them."""


def words_rules(words: Sequence[str]) -> Iterator[Rule]:
    """Yield the rules that find any of the words.

    Args:
        words: The words, at least one.
    """
    # If several words begin alike, the longest counts. If the text does not match it to its end, the next is tried.
    longest_first = sorted(words, key=len, reverse=True)
    together: list[str] = []
    chars = 0
    for written in map(_bounded, longest_first):
        chars += len(written)
        if together and chars > _RULE_CHARS:
            yield Rule(WORD, together, _is_whole, is_requests=True)
            together, chars = [], len(written)
        together.append(written)
    yield Rule(WORD, together, _is_whole, is_requests=True)


def _bounded(word: str) -> str:
    # RE2 knows word boundaries only in ASCII, but checks those before it begins a match. `_is_whole` checks the others.
    letters = list(_letters(word))
    left = r"\b" if re.fullmatch(r"\w", letters[0], re.ASCII) else ""
    right = r"\b" if re.fullmatch(r"\w", letters[-1], re.ASCII) else KNOWN_NEXT
    return f"(?i){left}{''.join(map(_written, letters))}{right}"


def _letters(word: str) -> Iterator[str]:
    """Yield the characters of a word, each with the marks that combine with it."""
    letter = ""
    for character in unicodedata.normalize("NFC", word):
        if letter and not unicodedata.combining(character):
            yield letter
            letter = ""
        letter += character
    yield letter


def _written(letter: str) -> str:
    """Return an expression for a letter in all equal forms: composed, decomposed, or with some marks composed."""
    if letter in _SAME:
        return _SAME[letter]
    decomposed = unicodedata.normalize("NFD", letter)
    first, marks = decomposed[0], decomposed[1:]
    forms = {letter, decomposed}
    for index, mark in enumerate(marks):
        form = unicodedata.normalize("NFC", first + mark) + marks[:index] + marks[index + 1 :]
        if unicodedata.normalize("NFD", form) == decomposed:
            forms.add(form)
    # The longest forms come first, so that no letter is found without its marks.
    spelled = "|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form))))
    return spelled if len(forms) == 1 else f"(?:{spelled})"


def _is_whole(text: bytes, start: int, end: int) -> bool:
    before, after = character_before(text, start), character_after(text, end)
    first, last = character_after(text, start), character_before(text, end)
    return not (_joins(before) and _joins(first)) and not (_joins(after) and _joins(last))


def _joins(character: str) -> bool:
    """Return whether a character forms one word with a neighbour that does so too."""
    return (
        character.isdigit()
        or character == "_"
        or character.lower() != character.upper()
        or bool(character and unicodedata.combining(character))
    )
