"""What Markdown costs as it arrives: work in proportion to the text, and memory for the open block alone."""

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from tailrace.render import MarkdownStream
from tests.support.work import lines_run

pytestmark = pytest.mark.slow

SHAPES: dict[str, Callable[[int], str]] = {
    "paragraphs": lambda size: "Some *text* of words.\n\n" * (size // 23),
    "one paragraph": lambda size: "Some *text* of words.\n" * (size // 22),
    "one line": lambda size: "word " * (size // 5),
    "a fence never closed": lambda size: "```py\n" + "    x = 1\n" * (size // 10),
    "a long table": lambda size: "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * (size // 10),
    "a wide table": lambda size: "|a" * (size // 8) + "\n" + "|-" * (size // 8) + "\n" + "|x\n" * (size // 6),
    "a long list": lambda size: "- item\n\n  text\n" * (size // 15),
    "code and blank lines": lambda size: "    a\n" + "\n" * (size // 2) + "    b\n" + "\n" * (size // 2),
    "quotes, then lazy lines": lambda size: ">" * (size // 2) + "a\n" + "b\n" * (size // 4),
    "items, then lazy lines": lambda size: "- " * (size // 4) + "a\n" + "b\n" * (size // 4),
    "items, then blank lines": lambda size: "- " * (size // 4) + "a" + "\n" * (size // 2),
    "a fence in items, blank lines": lambda size: "- " * (size // 4) + "```" + "\n" * (size // 2),
    "items in a quote, blank lines": lambda size: "> " + "- " * (size // 4) + "```\n" + ">\n" * (size // 4),
    "numbers": lambda size: "1. " * (size // 3) + "a",
    "stars": lambda size: "*" * size,
    "stars and spaces": lambda size: "* " * (size // 2) + "a",
    "hashes": lambda size: "# " + "# " * (size // 2) + "a",
    "spaces": lambda size: " " * size + "a",
    "tabs": lambda size: "\t" * size + "a",
    "line feeds": lambda size: "\n" * size,
    "backticks": lambda size: "`" * size,
    "brackets": lambda size: "[" * size,
    "a label": lambda size: "[" + "a\n" * (size // 2),
    "a title": lambda size: "[a]: b\n'" + "a\n" * (size // 2),
    "definitions": lambda size: "[a]: b\n" * (size // 7),
    "parentheses": lambda size: "[a]: " + "(" * size,
    "attributes": lambda size: "<a" + " b=''" * (size // 5),
    "white space in a tag": lambda size: "<a" + " " * size,
    "a comment": lambda size: "<!--" + "-\n" * (size // 2),
    "a formula": lambda size: "$$\n" + "x\n" * (size // 2),
    "dollars": lambda size: "$$" + " $" * (size // 2),
    "pipes": lambda size: "|" * (size // 2) + "\n" + "|" * (size // 2),
}
"""Of about a size."""


def read(text: str, chunk: int) -> None:
    """Parses a text, and looks at what is open after each chunk."""
    stream = MarkdownStream()
    for at in range(0, len(text), chunk):
        stream.feed(text[at : at + chunk])
        _ = stream.open and stream.open.type
    stream.end()


@pytest.mark.parametrize("chunk", [5, 1_000_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_is_proportional_to_the_length_of_the_text(shape: str, chunk: int) -> None:
    # Where it were the square of the length, it would be a hundred times as much.
    text, more = SHAPES[shape](300), SHAPES[shape](3_000)
    assert lines_run(lambda: read(more, chunk)) < 12 * lines_run(lambda: read(text, chunk))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_regular_expression_backtracks_without_bound(shape: str) -> None:
    # About a second; minutes where one did.
    read(SHAPES[shape](200_000), 1_000_000)


MIB = 1024 * 1024


@pytest.mark.timeout(20)
@pytest.mark.parametrize("begun", ["x", "- x", "```\nx", "$$\nx", "*"])
@pytest.mark.parametrize(("more", "times"), [("x", 16 * MIB), ("x\n", 100_000), ("*", 16 * MIB)])
def test_a_chunk_costs_the_same_however_much_is_open(begun: str, more: str, times: int) -> None:
    # About a second; a minute at the least where what is open were copied or searched with each chunk.
    stream = MarkdownStream()
    stream.feed(begun + more * times)
    for _ in range(30_000):
        stream.feed("**")
        _ = stream.open and stream.open.type


def test_only_the_open_block_is_kept_in_memory() -> None:
    stream = MarkdownStream()

    def held_bytes_after_more() -> int:
        for _ in range(1_000):
            stream.feed("Some *text* of words.\n\n- an item\n\n")
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        assert held_bytes_after_more() == pytest.approx(held_bytes_after_more(), abs=10_000)
    finally:
        tracemalloc.stop()
