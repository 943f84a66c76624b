"""Texts that look like Markdown, and the ways in which they may be cut."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

EXAMPLES: Final[dict[str, str]] = json.loads(Path(__file__).with_name("commonmark.json").read_text("utf-8"))["examples"]
"""Those of the CommonMark specification."""
_NUMBERS: Final = list(EXAMPLES)
EXAMPLE_GROUPS: Final[dict[str, dict[str, str]]] = {
    f"{numbers[0]}-{numbers[-1]}": {number: EXAMPLES[number] for number in numbers}
    for numbers in (_NUMBERS[at : at + 25] for at in range(0, len(_NUMBERS), 25))
}
"""The same in groups, because a test of its own costs an example more than what is tested."""

_MARKS: Final = ["- ", "* ", "1. ", "2) ", "> ", ">", "  ", "    ", " ", "-   ", "-", "1."]
_WORDS: Final = [
    *(
        "a",
        "word",
        "é🌊",
        "*em*",
        "a | b",
        "| a | b |",
        "|---|:-:|",
        "| - | - |",
        "-|-",
        "---",
        "--",
        "===",
        "=",
        "***",
        "* * *",
        "_",
        "$",
    ),
    *(
        "# h #",
        "## ",
        "#",
        "#5",
        "```",
        "```py",
        "~~~~",
        "~~~ a`b",
        "``",
        "`a`",
        "    ",
        "\t",
        "\\",
        "&amp;",
        "10",
        "+",
    ),
    *(
        "<div>",
        "</div>",
        "<b>",
        "<b",
        "<!--",
        "-->",
        "<?",
        "?>",
        "<!X",
        "<pre>",
        "</pre>",
        "<https://a.b>",
        "<![CDATA[",
    ),
    *("[a]: /u", "[a]: <b> 't'", "[a]:", "[a]", "[", "'t", '"', "(", "$$", "$$x$$", "$$ y", "z $$", "$$$", "", "", ""),
]
_lines = st.tuples(
    st.lists(st.sampled_from(_MARKS), max_size=3).map("".join),
    st.lists(st.sampled_from(_WORDS), max_size=2).map("".join),
).map("".join)
texts = st.lists(_lines | st.sampled_from(_WORDS), max_size=10).map("\n".join)
"""What is Markdown with luck, or looks like a piece of it from near by."""


def cut(text: str) -> st.SearchStrategy[list[str]]:
    """The chunks that a text may arrive in; some are empty."""
    cuts = st.lists(st.integers(0, len(text)), max_size=12).map(sorted)
    return cuts.map(lambda inner: [text[start:end] for start, end in pairwise([0, *inner, len(text)])])


_DISPUTED: Final = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        # To markdown-it, what is indented by four columns goes on with a quote, and ends text in an item or in quotes.
        r">.*(?:\n.*)*\n[ \t>]*(?: {4}|\t)[ \t]*(?!\s)[\W\d_]",
        r"(?:^|[ >])(?: [-+*]|[-+*]  | ?\d+[.)]).*(?:\n.*)*\n[ >]*(?: {4}|\t)[ \t]*(?!\s)[\W\d_]",
        # It counts the columns of tabs behind a second quote mark in another way,
        r">.*\t",
        # begins another list where an empty item and two blank lines have come,
        r"^[ \t>]*(?:[-+*>] *|\d+[.)] *)*(?:[-+*]|\d+[.)])[ \t]*\n(?:[ \t>]*\n){2}",
        # and looks ahead for what may belong to the definition of a link, or of something else.
        r"\[[^]]*\]:(?:[ \t]*\n)?.*[|\\]",
        r"\[[^]]*\]:[ \t]*\n[ \t>]*[-+*=\d|]",
        r"\[[^]]*\]:[^\n]*\n?.*\n[ \t>]*[\"'(]",
    )
]


def disputed(text: str) -> bool:
    """Whether a text may have something of which markdown-it does not say what CommonMark says, or only later."""
    return any(pattern.search(text) for pattern in _DISPUTED)
