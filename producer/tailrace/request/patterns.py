"""The regular expressions of requests: how large they are, and whether they run in linear time."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

CLASS_CHARS: Final = 400
"""The characters that a Unicode class such as `\\p{L}` counts as: RE2 compiles `\\p{L}` to 1,200 instructions."""
MOST_CHARS: Final = 8
"""The characters that a class of nearly all characters (`.`, `\\W`, `[^a]`) counts as: it is 8 instructions of RE2."""
MARKED_CHARS: Final = 8
"""The characters that each accent of a word counts as: an accented letter is searched for in all its forms."""

_PART: Final = re.compile(
    r"""
      (?P<repeat> \{ (?P<least> \d+ ) (?: ,(?P<most> \d* ) )? \} )
    | \\[pP] (?: \{ [^}]* \} | . )
    | \\x \{ [^}]* \}
    | (?P<broad> \\[DSW] | \. )
    | \\.
    | \[ (?P<without> \^ )? \]? (?> \[ : \^? [a-z]+ : \] | \\. | [^\]\\] )*+ \]
    | .
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_UNICODE_CLASS: Final = re.compile(r"(?<!\\)(?:\\\\)*\\[pP]")
_ASCII_CLASSES: Final[Mapping[str, str]] = {
    "d": "[0-9]",
    "D": "[^0-9]",
    "s": r"[\t\n\f\r ]",
    "S": r"[^\t\n\f\r ]",
    "w": "[0-9A-Za-z_]",
    "W": "[^0-9A-Za-z_]",
}
"""What these classes mean to RE2. Here they would mean Unicode classes, which take milliseconds to compile."""


def unfolded_chars(pattern: str) -> int:
    """Count the characters of an expression with its counted repetitions written out.

    Args:
        pattern: The expression, which need not be valid.

    Returns:
        The number of characters, in which classes count as `CLASS_CHARS` or `MOST_CHARS` more.
    """
    groups = [0]
    last = 0
    for part in _PART.finditer(pattern):
        text = part[0]
        if part["repeat"]:
            times = max(int(part["least"]), int(part["most"] or 0), 1)
            groups[-1] += last * (times - 1)
            last *= times
        elif text == "(":
            groups.append(1)
        elif text == ")" and len(groups) > 1:
            last = groups.pop() + 1
            groups[-1] += last
        elif text not in {"?", "*", "+"}:
            last = len(text) + CLASS_CHARS * len(_UNICODE_CLASS.findall(text))
            if part["broad"] or part["without"]:
                last += MOST_CHARS
            groups[-1] += last
    return sum(groups)


def spelled_chars(word: str) -> int:
    """Count the characters of a word with the forms of its accented letters written out.

    Args:
        word: The word.

    Returns:
        The number of characters, in which each accent counts as `MARKED_CHARS` more.
    """
    decomposed = unicodedata.normalize("NFD", word)
    return len(word) + MARKED_CHARS * sum(map(bool, map(unicodedata.combining, decomposed)))


def fault_of(pattern: str) -> str:
    """Say why a guard cannot use an expression.

    Args:
        pattern: The expression.

    Returns:
        The reason, or `""` if the expression can be used.
    """
    # The worker's engine is not installed here. Pydantic's is linear as well, and has nearly the same syntax.
    written = re.sub(r"\\(.)", lambda escape: _ASCII_CLASSES.get(escape[1], escape[0]), pattern, flags=re.DOTALL)
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=written))
    except SchemaError as error:
        reason = str(error).strip().rpartition("\n")[2].removeprefix("error: ")
        return f"is not a regular expression that runs in linear time: {reason}"
    try:
        validator.validate_python("")
    except ValidationError:
        return ""
    return "matches empty text: it must match at least one character"
