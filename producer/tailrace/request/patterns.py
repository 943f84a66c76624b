"""Regular expressions that requests carry: how large they are, and whether they take linear time."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

CLASS_CHARS: Final = 400
"""What a class of Unicode, such as `\\p{L}`, counts as: RE2 compiles `\\p{L}` to 1,200 instructions."""
MOST_CHARS: Final = 8
"""What a class of nearly all characters counts as, such as `.`, `\\W` or `[^a]`: RE2 compiles it to 8 instructions."""
MARKED_CHARS: Final = 8
"""What each mark of a word's letters counts as: such a letter is looked for in all its forms."""

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
"""What these mean to RE2. To the engine here they mean classes of Unicode, which take milliseconds to compile."""


def unfolded_chars(pattern: str) -> int:
    """How long an expression is with its counted repetitions written out. It need not be a valid one."""
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
    """How long a word is with the forms of its letters written out."""
    decomposed = unicodedata.normalize("NFD", word)
    return len(word) + MARKED_CHARS * sum(map(bool, map(unicodedata.combining, decomposed)))


def fault_of(pattern: str) -> str:
    """Why an expression is none that a guard can look for, or `""`."""
    # The worker's engine is not installed here; pydantic's is as linear, and knows nearly the same syntax.
    written = re.sub(r"\\(.)", lambda escape: _ASCII_CLASSES.get(escape[1], escape[0]), pattern, flags=re.DOTALL)
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=written))
    except SchemaError as error:
        reason = str(error).strip().rpartition("\n")[2].removeprefix("error: ")
        return f"is no regular expression that takes linear time: {reason}"
    try:
        validator.validate_python("")
    except ValidationError:
        return ""
    return "matches where there is no text: it is to match one character at least"
