"""Finds the ends of sentences in a text that is not complete yet."""

from typing import Final

import regex

from tailrace_worker.shaping.abbreviations import ABBREVIATIONS, BEFORE_NUMBERS

_NARROW: Final = r".!?\u2026"
_WIDE: Final = r"\u3002\uff01\uff1f"
_STOP: Final = f"[{_NARROW}{_WIDE}]"
_CLOSING: Final = r"\p{Pe}\p{Pf}\"'*_`"
_OPENING: Final = r"\p{Pi}"
"""Quotes that also close before a space, but open directly after a full-width stop."""
_BEFORE_WORD: Final = r"\p{Ps}\p{Pi}\p{Pf}\p{Pd}\"'*_"
_MARK: Final = r"\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SM}"

_LINE_ENDS: Final = r"[^\S\n]*+\n"
_NEXT_WORD: Final = rf"\s++[{_BEFORE_WORD}]*+(?P<next>[^\s{_BEFORE_WORD}{_NARROW}{_WIDE}\p{{Ll}}])"
"""The beginning of the next word. Before a small letter the sentence goes on, and a stop is part of an ellipsis with
spaces."""

_END: Final = regex.compile(
    rf"(?<!{_STOP}|\.[^\S\n])(?:"
    # A sentence goes on after a title or brackets, and in Japanese with と after direct speech.
    rf"[{_NARROW}]*[{_WIDE}]{_STOP}*+(?<!\.)"
    rf"(?:[{_CLOSING}]++(?<![\u3009\u300b\uff09])(?=[^{_MARK}\u3068])|(?=[^{_MARK}{_CLOSING}]))"
    rf"|(?:(?P<ellipsis>\.{{2,}}+)|(?P<dot>\.)|{_STOP}++)[{_CLOSING}{_OPENING}]*+"
    rf"(?=(?P<line>{_LINE_ENDS})|{_NEXT_WORD}))"
)
_ANY_STOP: Final = regex.compile(_STOP)
_SETTLED: Final = regex.compile(rf"(?r)[^\s{_NARROW}{_WIDE}{_CLOSING}{_OPENING}{_BEFORE_WORD}]")

_UNSETTLED_CHARS: Final = 100
"""The most stops, marks and spaces at the end that are searched again, so that a long run of them costs little."""

_BETWEEN_WORDS: Final = rf"\s{_WIDE}\p{{Ps}}\p{{Pe}}\p{{Pi}}\p{{Pf}}\"'*_\u2014\u2022\u2043"
_WORD: Final = regex.compile(rf"(?r)(?<![^{_BETWEEN_WORDS}])[^{_BETWEEN_WORDS}]{{1,16}}")
_INITIALS: Final = regex.compile(r"(?:\p{L}{1,3}\.)+\p{L}{1,3}|\p{L}|[0-9]{1,2}|[ivx]{2,6}|[IVX]{2,6}")
"""Dotted abbreviations, and words that may be an initial, the number of a list, or an ordinal in German."""

_BRACKET: Final = regex.compile(r"(?r)[()\uff08\uff09\u3008-\u3011]")
_OPEN_BRACKET: Final = regex.compile(r"\p{Ps}")
_QUOTE: Final = regex.compile(r"(?r)[\"\u201c\u201d\u201e\u00ab\u00bb]")
_OPEN_QUOTE: Final = regex.compile(
    r"(?<![\p{Latin}\p{Cyrillic}\p{N}.!?,\u2026])"
    r"(?:[\"\u00bb](?=[^\s\p{Po}\p{Pe}\p{Pf}\p{Pd}])|[\u201c\u201e\u00ab])"
)
"""An opening quote. German closes with the mark that opens in English, and some texts open with the mark that closes in
French."""
_SINGLE_QUOTE: Final = regex.compile(
    r"(?r)(?P<open>(?<=(?:^|\n)\s?|[,:;.!?\u2026]\s|[\u2014-]\s?)['\u2018](?=\p{L})|(?<!\p{L})\u2018)|['\u2019](?!\p{L})"
)
"""A single quote that opens or closes. Any other is an apostrophe: `it's`, `the 'nineties`."""


def last_sentence_end(text: str, seen: int) -> int:
    """Return the end of the last sentence, with its closing quotes and brackets; 0 if no sentence has ended.

    A stop ends a sentence only if a space follows, unlike in `3.14` or a URL, and then a word that does not begin with
    a small letter. Before a line break, or after a full-width stop, no word is needed.

    A wrong cut in the middle of a sentence is worse than a missing cut, because text is not held for long anyway. So
    there is no cut after an abbreviation, a small number, a single letter or dots, and none inside a quote or brackets.

    Args:
        text: The text so far.
        seen: How many characters were searched before without finding an end. The last of them are searched again,
            because the text after them decides.
    """
    start = seen
    if seen and not text[seen - 1].isalnum():
        start = max(0, seen - _UNSETTLED_CHARS)
        if last := _SETTLED.search(text, start, seen):
            start = last.end()
    if not _ANY_STOP.search(text, start):
        return 0
    end = 0
    for stop in _END.finditer(text, start):
        if _ends_sentence(text, stop):
            end = stop.end()
    return end


def _ends_sentence(text: str, stop: regex.Match[str]) -> bool:
    if stop["ellipsis"] and not stop["line"]:
        return False
    line = text.rfind("\n", 0, stop.start()) + 1
    if stop["dot"] and _is_abbreviated(text, line, stop):
        return False
    return bool(stop["line"]) or not _is_enclosed(text, line, stop.end())


def _is_abbreviated(text: str, line: int, stop: regex.Match[str]) -> bool:
    """Return whether a full stop belongs to the word or the number before it."""
    found = _WORD.match(text, line, stop.start())
    if found is None:
        return False
    words = {found[0], found[0].lower()}
    return (
        bool(_INITIALS.fullmatch(found[0]))
        or not words.isdisjoint(ABBREVIATIONS)
        or (bool(stop["next"]) and stop["next"].isdecimal() and not words.isdisjoint(BEFORE_NUMBERS))
    )


def _is_enclosed(text: str, line: int, end: int) -> bool:
    """Return whether a quote or a bracket of this line is still open."""
    bracket = _BRACKET.search(text, line, end)
    if bracket and _OPEN_BRACKET.match(bracket[0]):
        return True
    quote = _QUOTE.search(text, line, end)
    if quote and _OPEN_QUOTE.match(text, quote.start()):
        return True
    single_quote = _SINGLE_QUOTE.search(text, line, end)
    return bool(single_quote and single_quote["open"])
