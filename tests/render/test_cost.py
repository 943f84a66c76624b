"""What Markdown costs as it arrives: time in proportion to the text, and memory for the open block alone."""

import gc
import time
import tracemalloc
from collections.abc import Callable

import pytest

from tailrace.render import MarkdownStream

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


def cpu_seconds(text: str, chunk: int) -> float:
    """What it costs to parse a text and to look at what is open after each chunk; the least of three times."""
    seconds: list[float] = []
    for _ in range(3):
        stream = MarkdownStream()
        began = time.process_time()
        for at in range(0, len(text), chunk):
            stream.feed(text[at : at + chunk])
            _ = stream.open and stream.open.type
        stream.end()
        seconds.append(time.process_time() - began)
    return min(seconds)


@pytest.mark.parametrize("chunk", [5, 1_000_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_times_the_text_takes_ten_times_as_long(shape: str, chunk: int) -> None:
    # Where it cost the square of its length, it would be a hundred times as long.
    text, more = SHAPES[shape](2_000), SHAPES[shape](20_000)
    assert cpu_seconds(more, chunk) < 30 * cpu_seconds(text, chunk) + 0.005


MIB = 1024 * 1024


def cpu_seconds_behind(held: str) -> float:
    """What a thousand chunks cost behind a text; the least of three times."""
    seconds: list[float] = []
    for _ in range(3):
        stream = MarkdownStream()
        stream.feed(held)
        began = time.process_time()
        for _ in range(1_000):
            stream.feed("**")
            _ = stream.open and stream.open.type
        seconds.append(time.process_time() - began)
    return min(seconds)


@pytest.mark.parametrize("begun", ["x", "- x", "```\nx", "$$\nx", "*"])
@pytest.mark.parametrize(("more", "times"), [("x", 2 * MIB), ("x\n", 50_000), ("*", 2 * MIB)])
def test_a_chunk_costs_the_same_however_much_is_open(begun: str, more: str, times: int) -> None:
    # Where what is open were copied with each chunk, it would be a hundred times as much.
    assert cpu_seconds_behind(begun + more * times) < 20 * cpu_seconds_behind(begun + more)


def test_no_more_is_held_than_the_open_block() -> None:
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
