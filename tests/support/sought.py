"""What is to be found in a text, by a reference that shares nothing with the search but the rules themselves.

It has all of the text at once, walks through it place by place, and asks Python's own engine.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from hypothesis import strategies as st

from tailrace_worker.shaping.guards.rules import Rule
from tests.support.expressions import Expression


class Found(NamedTuple):
    """A match."""

    start: int
    """Return where the hidden part begins."""
    end: int
    kind: str


def found(text: str, rules: Sequence[Rule]) -> Iterator[Found]:
    """The matches in a whole text: the first, then the first behind it, and so on."""
    place = 0
    while place < len(text):
        match = next((match for rule in rules if (match := _at(text, place, rule))), None)
        if match:
            yield match
        place = match.end if match else place + 1


def redacted(text: str, rules: Sequence[Rule]) -> str:
    """The whole text with its matches replaced."""
    place, shown = 0, ""
    for match in found(text, rules):
        shown += f"{text[place : match.start]}[{match.kind} redacted]"
        place = match.end
    return shown + text[place:]


def _at(text: str, start: int, rule: Rule) -> Found | None:
    # Each try demands that some more of the text is left behind the match.
    for left in range(len(text) - start):
        match = _compiled(tuple(rule.patterns), left).match(text, start)
        if match is None or match.end() == start:
            return None
        whole = text.encode(errors="surrogatepass")
        begin, end = (len(text[:place].encode(errors="surrogatepass")) for place in (start, match.end()))
        if rule.accepts(whole, begin, end):
            lead = whole[begin : rule.hidden_from(whole, begin, end)].decode(errors="surrogatepass")
            return Found(start + len(lead), match.end(), rule.kind)
    return None


@lru_cache(maxsize=2_000)
def _compiled(patterns: tuple[str, ...], left: int) -> re.Pattern[str]:
    flagged = (re.sub(r"^\(\?(\w+)\)(.*)", r"(?\1:\2)", Expression.of(each).python) for each in patterns)
    return re.compile(f"(?:{'|'.join(flagged)})(?=(?s:.{{{left}}}))", re.ASCII)


_SNIPPETS = [
    *("john.doe@mail.example.co.uk", "müller@münchen.de", "a@b", "@", "4111 1111 1111 1111", "4111-1111-1111-1112"),
    *("378282246310005", "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO9386011117947", "10.0.0.1"),
    *("256.1.2.3", "fe80::1", "2001:db8::8a2e:370:7334", "::ffff:1.2.3.4", "a::b", "std::", "10:30:45"),
    *("+49 30 1234567", "(415) 555-2671", "0171/1234567", "01 23 45 67 89", "2024-11-22", "3.14159265358979"),
    *("sk-proj-0123456789abcdefghij", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOi12.eyJzdWIiOi12.abc123def456", "sk-"),
    *("-----BEGIN PRIVATE KEY-----\nMIIabc+/=\n-----END PRIVATE KEY-----", "Bob", "BOBBY", "Öl", "Möller", "New York"),
    *(
        "New Yorker",
        "Newer",
        "秘密",
        "这是",
        "c++",
        "cafe\u0301",
        "O\u2019Neill",
        "o'neill",
        "Jean\u2011Luc",
        "e\u0301te\u0301",
    ),
    *(
        "(415) 555-2671 ext. 12",
        "415-555-2671x1234",
        "13812345678",
        "001-212-555-0123",
        "2026-01-15 10:30",
        "20260115103000123",
    ),
    *(
        "api_key: 'a1B2c3D4e5F6g7H8i9'",
        "password = ",
        "postgres://app:s3cret@db/x",
        "AccountKey=abcDEF0123456789+/==",
        "sig=",
    ),
]
_glue = st.sampled_from([*" .,:;-_+()[]\"'\n", "", "\u202f", " 12", "x", "é", "\ud83d", "😀"])
_parts = st.tuples(st.sampled_from(_SNIPPETS), st.integers(1, 70)).map(lambda pair: pair[0][: pair[1]])

texts_with_something_in_them: st.SearchStrategy[str] = st.lists(
    st.sampled_from(_SNIPPETS) | _parts | _glue | st.text(max_size=3), max_size=8
).map("".join)
