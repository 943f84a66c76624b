"""Regular expressions at random, in RE2's syntax and in that of Python's own engine, which serves as the reference."""

import re
from typing import NamedTuple

from hypothesis import strategies as st

ALPHABET = "ab é-\n"


class Expression(NamedTuple):
    """One expression."""

    pattern: str
    python: str
    """It means the same to `re` with `re.ASCII`."""
    bare: str
    """The same without assertions."""
    can_be_empty: bool

    @classmethod
    def of(cls, pattern: str) -> "Expression":
        """One without parts, of RE2's syntax."""
        python = re.sub(r"\\x\{([0-9A-F]+)\}", lambda match: f"\\U{match[1]:0>8}", pattern).replace(r"\z", r"\Z")
        return cls(pattern, python, python, can_be_empty=False)

    @classmethod
    def joined(cls, parts: list["Expression"], by: str) -> "Expression":
        """One after the other, or one of them."""
        pattern, python, bare = (f"(?:{by.join(texts)})" for texts in zip(*(part[:3] for part in parts), strict=True))
        check = any if by else all
        return cls(pattern, python, bare, check(part.can_be_empty for part in parts))

    def repeated(self, times: str) -> "Expression":
        """Over and over again."""
        pattern, python, bare = (f"(?:{text}){times}" for text in self[:3])
        return Expression(pattern, python, bare, self.can_be_empty or times.startswith(("?", "*", "{0")))


_characters: st.SearchStrategy[Expression] = st.sampled_from(
    [
        "a",
        "b",
        "é",
        r"\-",
        ".",
        r"\w",
        r"\W",
        "[ab]",
        "[^a]",
        "[]a-b]",
        r"[^\n-]",
        r"\x{E9}",
        r"\x61",
        "(?i:A)",
        "(?s:.)",
    ]
).map(Expression.of)
_assertions: st.SearchStrategy[Expression] = st.sampled_from(
    [
        ("^", "^"),
        ("$", r"\Z"),
        (r"\b", r"\b"),
        (r"\B", r"\B"),
        ("(?m:^)", "(?m:^)"),
        ("(?m:$)", "(?m:$)"),
        (r"\z", r"\Z"),
    ]
).map(lambda pair: Expression(*pair, bare="", can_be_empty=True))


def expressions(*, assertions: bool) -> st.SearchStrategy[Expression]:
    """Expressions of a few characters that match no empty text."""
    grown = st.recursive(
        _characters | _assertions if assertions else _characters,
        lambda inner: (
            # What is empty over and over again, the two engines see differently.
            st.tuples(
                inner.filter(lambda part: not part.can_be_empty), st.sampled_from(["*", "+", "*?", "+?", "{2,}"])
            ).map(lambda pair: pair[0].repeated(pair[1]))
            | st.tuples(inner, st.sampled_from(["?", "??", "{2}", "{0,2}", "{1,3}?", "{0}"])).map(
                lambda pair: pair[0].repeated(pair[1])
            )
            | st.lists(inner, min_size=2, max_size=4).map(lambda parts: Expression.joined(parts, ""))
            | st.lists(inner, min_size=2, max_size=3).map(lambda parts: Expression.joined(parts, "|"))
        ),
        max_leaves=6,
    )
    return grown.filter(lambda expression: not expression.can_be_empty)


texts: st.SearchStrategy[str] = st.text(ALPHABET, max_size=12)


def texts_that_may_match(expression: Expression) -> st.SearchStrategy[str]:
    """Texts with parts that match, were it not for the assertions."""
    matching = st.from_regex(re.compile(expression.bare, re.ASCII), fullmatch=True)
    return st.lists(matching | texts, max_size=4).map("".join)
