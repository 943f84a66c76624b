"""The blocks of a whole text: those that CommonMark, GFM and markdown-it see in it."""

from itertools import pairwise, takewhile
from typing import TypeVar

import pytest
from hypothesis import assume, given, settings
from markdown_it import MarkdownIt

from tailrace.render import (
    Block,
    Container,
    FencedCode,
    Heading,
    IndentedCode,
    Item,
    LinkDefinition,
    Math,
    Paragraph,
    Quote,
    Table,
)
from tests.support.markdown_oracle import UNCHANGED, blocks_of, close_paragraphs, parsed, said
from tests.support.markdown_texts import EXAMPLE_GROUPS, disputed, texts

_B = TypeVar("_B", bound=Block)


def only(text: str, kind: type[_B]) -> _B:
    """The one block of a text, which is of a kind."""
    (block,) = parsed([text])
    assert isinstance(block, kind)
    return block


def types_of(text: str) -> list[str]:
    return [block.type for block in parsed([text])]


@pytest.mark.parametrize("examples", EXAMPLE_GROUPS.values(), ids=EXAMPLE_GROUPS)
def test_an_example_of_commonmark_has_the_blocks_that_markdown_it_finds(examples: dict[str, str]) -> None:
    found = {number: [said(block) for block in parsed([text])] for number, text in examples.items()}
    assert found == {number: blocks_of(text) for number, text in examples.items()}


@settings(deadline=None)
@given(texts)
def test_a_text_has_the_blocks_that_markdown_it_finds(text: str) -> None:
    assume(not disputed(text))
    assert [said(block) for block in parsed([text + "\n"])] == blocks_of(text + "\n")


@settings(deadline=None)
@given(texts)
def test_the_source_of_a_block_alone_has_the_same_block(text: str) -> None:
    assume(not disputed(text))
    for block in parsed([text]):
        if block.type != "empty":
            type_, _, _, *details = said(block)
            assert [(alone, *rest) for alone, _, _, *rest in blocks_of(block.source + "\n")] == [(type_, *details)]


@pytest.mark.parametrize("examples", EXAMPLE_GROUPS.values(), ids=EXAMPLE_GROUPS)
def test_apart_makes_the_same_lists_of_an_example_loose_as_markdown_it(examples: dict[str, str]) -> None:
    found = {number: paragraphs_of_tight_lists(text) for number, text in examples.items()}
    assert found == {number: close_paragraphs(text) for number, text in examples.items()}


@pytest.mark.parametrize(
    "text", ["- a\n\n  > b\n- c", "1. a\n   - b\n\n   - c\n2. d", "> - a\n>\n- b", "- a\n\n-\n  b"]
)
def test_apart_makes_the_same_lists_loose_as_markdown_it(text: str) -> None:
    assert paragraphs_of_tight_lists(text) == close_paragraphs(text)


def paragraphs_of_tight_lists(text: str) -> list[bool]:
    """For each paragraph, whether it is in a list that is not loose."""
    blocks = parsed([text])
    loose = loose_lists(blocks)
    paragraphs = [list_of(block.containers) for block in blocks if block.type == "paragraph"]
    return [list_ is not None and list_ not in loose for list_ in paragraphs]


def loose_lists(blocks: list[Block]) -> set[object]:
    """As the docstring of `apart` has it."""
    loose: set[object] = set()
    for before, block in pairwise(blocks):
        if block.apart:
            pairs = zip(before.containers, block.containers, strict=False)
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            one, other = (list_of(each.containers[: shared + 1]) for each in (before, block))
            loose.add(one if one == other else list_of(block.containers[:shared]))
    return loose


def list_of(containers: tuple[Container, ...]) -> object:
    """The list in whose item something stands directly."""
    match containers:
        case (*around, Item(list_line=line)):
            return *around, line
        case _:
            return None


def test_a_block_knows_its_line_and_its_containers() -> None:
    text = "Text.\n\n- one\n- two\n\n  > 7) deep\n  > 8) deeper\n"
    two = Item(line=3, list_line=2, marker="-", number=None)
    quote = Quote(line=5)
    assert [(block.source, block.line, block.apart, block.containers) for block in parsed([text])] == [
        ("Text.", 0, False, ()),
        ("one", 2, True, (Item(line=2, list_line=2, marker="-", number=None),)),
        ("two", 3, False, (two,)),
        ("deep", 5, True, (two, quote, Item(line=5, list_line=5, marker=")", number=7))),
        ("deeper", 6, False, (two, quote, Item(line=6, list_line=5, marker=")", number=8))),
    ]


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("# a", 1, "a"),
        ("###### *a* ##  ", 6, "*a*"),
        ("## a#", 2, "a#"),
        ("#", 1, ""),
        ("a\n===", 1, "a"),
        ("a\n  b\n-", 2, "a\n  b"),
    ],
)
def test_a_heading_has_its_level_and_its_text(text: str, level: int, said: str) -> None:
    heading = only(text, Heading)
    assert (heading.level, heading.text, heading.source) == (level, said, text)


@pytest.mark.parametrize(
    ("text", "language", "code", "ended"),
    [
        ("```py\nx = 1\n\n```", "py", "x = 1\n", True),
        ("~~~~  shell session `a`\n~~~\n~~~~~ ", "shell", "~~~", True),
        ("```\n~~~", "", "~~~", False),
        ("```\n``` py\n    ```", "", "``` py\n    ```", False),
        ("  ```\n  a\n\tb\n c\n   ```", "", "a\n  b\nc", True),
        ("```make\nall:\n\tcc\n", "make", "all:\n\tcc", False),
        ("> ```\n> a\n", "", "a", False),
        ("1. ```c++\n   a\n\n    b\n", "c++", "a\n\n b", False),
        ("```", "", "", False),
    ],
)
def test_fenced_code_has_its_language_and_its_text(text: str, language: str, code: str, ended: bool) -> None:
    fenced = only(text, FencedCode)
    assert (fenced.language, fenced.text, fenced.ended) == (language, code, ended)


def test_indented_code_ends_with_its_last_line_of_code() -> None:
    code, text = parsed(["    a\n\n\t  b\n    \n\nc"])
    assert isinstance(code, IndentedCode)
    assert (code.text, code.source) == ("a\n\n  b", "    a\n    \n      b")
    assert (text.type, text.apart) == ("paragraph", True)


def test_a_table_has_its_header_and_its_rows() -> None:
    table = only("| a | b\\|c | d\n|:-:|--:|---\n| 1 |\n x | *y* | | z\nw\n", Table)
    assert table.header == ("a", "b|c", "d")
    assert table.alignments == ("center", "right", None)
    assert table.rows == (("1",), ("x", "*y*", ""), ("w",))


@pytest.mark.parametrize(
    "text", ["a\n-|-", "a | b\n---", "a | b\n- | -", "|a|\n|-|-|", "a | b\n    -|-", "a|b\n-|x", "\\|\n-|-"]
)
def test_incomplete_beginnings_of_a_table_are_text(text: str) -> None:
    assert "table" not in types_of(text)


def test_a_table_ends_text_above_it_and_ends_where_something_else_begins() -> None:
    assert types_of("a\nb|c\n-|-\n1|2\n> q") == ["paragraph", "table", "paragraph"]
    assert types_of("b|c\n-|-\n1|2\n\n3|4") == ["table", "paragraph"]
    assert types_of("b|c\n-|-\n    1|2") == ["table", "indented_code"]


@pytest.mark.parametrize(
    ("text", "formula", "ended"),
    [
        ("$$\nx^2\n$$", "x^2", True),
        ("$$ x^2 $$ ", "x^2", True),
        ("$$ x\n + y $$", "x\n + y", True),
        ("  $$\n  \\text{5 \\$}\n  $$", "\\text{5 \\$}", True),
        ("- $$\n  # x\n", "# x", False),
        ("$$\nx\n$$ y", "x\n$$ y", False),
        ("$$", "", False),
    ],
)
def test_a_formula_is_the_text_between_its_dollars(text: str, formula: str, ended: bool) -> None:
    math = only(text, Math)
    assert (math.text, math.ended) == (formula, ended)


@pytest.mark.parametrize("text", ["$5 and $$ more", "$$x$$ is a formula in text", "$$$", "$x$", "a $$x$$ b"])
def test_dollars_in_text_are_text(text: str) -> None:
    assert types_of(text) == ["paragraph"]


def test_a_formula_ends_text_above_it_and_ends_before_a_blank_line() -> None:
    assert types_of("text:\n$$\nx\n$$\nmore") == ["paragraph", "math", "paragraph"]
    assert types_of("$$ that was none\n\nmore") == ["math", "paragraph"]


def test_definitions_are_blocks_of_their_own() -> None:
    text = "[a]: /u\n[b]:\n  </v w>\n  'a\nb'\n[c] is not defined: /u\n\n[d]: /x (y)\ntext"
    assert [(block.type, block.line, block.source) for block in parsed([text])] == [
        ("link_definition", 0, "[a]: /u"),
        ("link_definition", 1, "[b]:\n  </v w>\n  'a\nb'"),
        ("paragraph", 5, "[c] is not defined: /u"),
        ("link_definition", 7, "[d]: /x (y)"),
        ("paragraph", 8, "text"),
    ]


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("[a]: /u 'b", ["paragraph"]),
        ("[a]: /u\n'b", ["link_definition", "paragraph"]),
        ("[a]: /u\n'b'c\nd'", ["link_definition", "paragraph"]),
        ("[a]: /u'b'", ["link_definition"]),
        ("[a]: /u(", ["paragraph"]),
        ("[a]: /u(\\()", ["link_definition"]),
        ("[a]: <", ["paragraph"]),
        ("[a]: <>", ["link_definition"]),
        ("[\n]: /u", ["paragraph"]),
        ("[a\n\\]b]: /u", ["link_definition"]),
        ("[a[]: /u", ["paragraph"]),
        ("[a] : /u", ["paragraph"]),
        ("text\n[a]: /u", ["paragraph"]),
        ("[a]: /u\n===", ["link_definition", "paragraph"]),
        ("[a]: /u\n't\n===", ["link_definition", "heading"]),
    ],
)
def test_a_link_definition_extends_as_far_as_it_is_valid(text: str, types: list[str]) -> None:
    assert types_of(text) == types


def test_a_lazy_continuation_line_stays_text_in_the_source() -> None:
    (text,) = parsed(["> a\n===\n"])
    assert isinstance(text, Paragraph)
    assert text.source == "a\n    ==="


def test_an_empty_container_has_an_empty_block() -> None:
    blocks = parsed(["-\n- a\n1.\n\n>\n\n-\n\n  b"])
    assert [(block.type, block.line, len(block.containers)) for block in blocks] == [
        ("empty", 0, 1),
        ("paragraph", 1, 1),
        ("empty", 2, 1),
        ("empty", 4, 1),
        ("empty", 6, 1),
        ("paragraph", 8, 0),
    ]


@pytest.mark.parametrize(
    ("text", "types"),
    [
        (">\n    > a", ["empty", "indented_code"]),
        ("   - a\n    > b", ["paragraph"]),
        (">> a\n    - b", ["paragraph"]),
        (">>- \ta", ["indented_code"]),
        ("> a | b\n---|---", ["paragraph"]),
        ("# a | b\n---|---", ["heading", "paragraph"]),
        ("[a]:\n===", ["heading"]),
        ("[a]:\n*", ["link_definition"]),
        ("[a]: /u\n    'b", ["link_definition", "paragraph"]),
    ],
)
def test_blocks_differ_where_markdown_it_departs_from_commonmark_or_looks_a_line_ahead(
    text: str, types: list[str]
) -> None:
    assert types_of(text) == types != [type_ for type_, *_ in blocks_of(text, UNCHANGED)]


def test_a_link_definition_also_applies_to_blocks_before_it() -> None:
    text, definition = parsed(["[a]\n\n[a]: /u"])
    assert isinstance(definition, LinkDefinition)
    assert "href" not in MarkdownIt().render(text.source)
    assert '<a href="/u">' in MarkdownIt().render(f"{definition.source}\n\n{text.source}")


def test_line_ends_are_all_the_same() -> None:
    assert [said(block) for block in parsed(["a\r\nb\rc\n\r# d\0"])] == [
        ("paragraph", 0, (), "a\nb\nc"),
        ("heading", 4, (), 1, "d\ufffd"),
    ]
