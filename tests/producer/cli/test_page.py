"""Markdown on a terminal, block by block."""

import io
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tailrace.cli.display.page import Page, PageLimits
from tailrace.cli.display.parts import MarkdownPart
from tailrace.cli.tty.control_characters import visible
from tailrace.render import MarkdownStream


def console(width: int, *, color_system: Literal["standard"] | None = None) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=10, color_system=color_system, highlight=False
    )


def shown(markdown: str, *, width: int = 30, piece: int = 1_000, limits: PageLimits | None = None) -> str:
    """What is printed of a text that comes in pieces."""
    printing = console(width)
    part = MarkdownPart(limits)
    with printing.capture() as capture:
        for at in range(0, len(markdown), piece):
            for block in part.take(markdown[at : at + piece]):
                printing.print(block)
        for block in part.end():
            printing.print(block)
    return capture.get()


def preview(markdown: str, *, width: int = 30, height: int = 3) -> str:
    printing = console(width)
    stream = MarkdownStream()
    printed = Page(PageLimits())
    for block in stream.feed(markdown):
        printed.add(block)
    assert stream.open is not None
    with printing.capture() as capture:
        printing.print(printed.preview(stream.open, width=width, height=height))
    return capture.get()


@pytest.mark.parametrize(
    ("markdown", "lines"),
    [
        ("one\ntwo\n\nthree", ["one two", "", "three"]),
        ("text\n- a\n- b\n\n  c\n- d", ["text", " • a", " • b", "", "   c", " • d"]),
        ("3. a\n3. b\n   1. c\n3. d", [" 3. a", " 4. b", "     1. c", " 5. d"]),
        ("9. a\n9. b\n   c", [" 9. a", " 10. b c"]),
        ("> a\n> > b\n>\n> c\n\nd", ["▌ a", "▌ ▌ b", "▌", "▌ c", "", "d"]),
        ("- > a\n  > b\n\n  c", [" • ▌ a b", "", "   c"]),
        ("-\n- a", [" •", " • a"]),
        ("> 1. a\n>    - b", ["▌  1. a", "▌      • b"]),
        ("~~~py\na  \n\n  b\n\n~~~\nc", ["a", "", "  b", "", "c"]),
        ("    a\n     b", ["a", " b"]),
        ("a\n***\nb", ["a", "", "─" * 30, "", "b"]),
        ("[a]: http://b\n\n[text](http://c)", ["[a]: http://b", "", "text (http://c)"]),
        ("<b>a</b>\n\n<div>\nb\n</div>", ["a", "", "<div>", "b", "</div>"]),
        ("$$\nx^2\n$$", ["$$", "x^2", "$$"]),
        ("| a | b |\n|-|-|\n| c | d |", [" a  b", " ────", " c  d"]),
        ("&#27;[2J&#x9b;a", ["\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}a"]),
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 1_000])
def test_blocks_are_drawn_below_each_other_in_their_containers(markdown: str, lines: list[str], piece: int) -> None:
    assert shown(markdown, piece=piece).splitlines() == lines


def test_the_text_has_half_of_the_width_however_deep_it_is_nested() -> None:
    assert shown("> " * 50 + "one two three four", width=20).splitlines() == [
        "▌ ▌ ▌ ▌ ▌ one two",
        "▌ ▌ ▌ ▌ ▌ three four",
    ]


def test_a_word_that_is_longer_than_the_line_is_broken() -> None:
    assert shown("x" * 25, width=10).split() == ["x" * 10, "x" * 10, "x" * 5]
    assert shown(f"```\n{'x' * 25}\n```", width=10).split() == ["x" * 10, "x" * 10, "x" * 5]


def test_code_has_the_colours_of_its_language_from_its_first_line() -> None:
    printing = console(30, color_system="standard")
    part = MarkdownPart()
    list(part.take("```python\ndef f"))
    open_block = part.preview(width=30, height=5)
    assert open_block is not None
    with printing.capture() as capture:
        printing.print(open_block)
    assert capture.get() == "\x1b[94mdef\x1b[0m\x1b[90m \x1b[0m\x1b[92mf\x1b[0m\n"


@pytest.mark.parametrize(("code", "is_coloured"), [("import a", True), ("import ab", False)])
def test_code_that_would_take_seconds_to_colour_has_no_colours(code: str, is_coloured: bool) -> None:
    part = MarkdownPart(PageLimits(highlighted_chars=8))
    printing = console(30, color_system="standard")
    with printing.capture() as capture:
        printing.print(*part.take(f"```python\n{code}\n```\n"))
    assert ("\x1b" in capture.get()) == is_coloured


@pytest.mark.parametrize(
    ("markdown", "lines"),
    [
        ("> ```\n> ab\n>\n>\n> cdefghi\n> ```\n> j", ["▌ ab", "▌", "▌", "▌ cdefghi", "▌ j"]),
        ("```\nabcdefghijk\n\n\n\n\n\n\n\n\n\nl\n```", ["abcdefgh", "ijk", *[""] * 9, "l"]),
        ("- <p>\n  ab\n  </p>", [" • <p>", "   ab", "   </p>"]),
        ("a\n\n$$\nx^2\ny^2\n$$", ["a", "", "$$", "x^2", "y^2", "$$"]),
        ("*ab*\ncd *e*\nf", ["*ab*", "cd *e*", "f"]),
        ("| a |\n|-|\n| b |\n\nc", ["| a |", "|-|", "| b |", "", "c"]),
    ],
)
def test_a_large_block_is_printed_piece_by_piece_and_loses_no_line(markdown: str, lines: list[str]) -> None:
    limits = PageLimits(highlighted_chars=8, piece_chars=8)
    assert shown(markdown, limits=limits).splitlines() == lines


def test_a_language_that_nobody_knows_has_no_colours() -> None:
    assert shown("```nosuchlanguage\na = 1\n```").splitlines() == ["a = 1"]


@pytest.mark.parametrize(
    ("markdown", "end"),
    [
        ("word " * 1_000, "word word word word"),
        ("```\n" + "".join(f"{n}\n" for n in range(1_000)), "999"),
        ("```\n" + "x" * 100_000, "x" * 30),
        ("| a |\n|-|\n" + "".join(f"| {n} |\n" for n in range(1_000)), " 999"),
    ],
)
def test_of_an_open_block_about_one_screen_is_drawn(markdown: str, end: str) -> None:
    lines = preview(markdown).splitlines()
    assert lines[-1].rstrip().endswith(end.rstrip())
    assert len(lines) <= 10


def test_the_preview_of_a_block_does_not_change_what_comes_after() -> None:
    stream, printed = MarkdownStream(), Page(PageLimits())
    stream.feed("1. a\n1. b")
    printing = console(30)
    with printing.capture() as capture:
        for _ in range(3):
            assert stream.open is not None
            printing.print(printed.preview(stream.open, width=30, height=3))
        for block in stream.end():
            printing.print(*printed.add(block))
    assert capture.get().split() == ["1.", "b"] * 4


PIECES = (
    "# ",
    "  ",
    "\n",
    "\n\n",
    "- ",
    "1. ",
    "> ",
    "**",
    "`",
    "```",
    "| a |\n|-|",
    "[a](b)",
    "$$",
    "<b>",
    "&#27;",
    "\x1b[2J",
    "水",
    "word",
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.integers(2, 40), st.integers(1, 9))
def test_whatever_comes_stays_within_the_width_and_controls_nothing(text: str, width: int, piece: int) -> None:
    lines = shown(visible(text), width=width, piece=piece).split("\n")
    assert all(line.isprintable() and cell_len(line) <= width for line in lines)
