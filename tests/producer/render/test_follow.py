"""Callbacks that are told of blocks."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tailrace.render import Block, follow


async def texts_of(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def test_after_each_text_the_callbacks_get_the_closed_blocks_and_the_open_one() -> None:
    told: list[str] = []

    def on_open(block: Block | None) -> None:
        told.append(f"open {block.source}" if block else "open nothing")

    await follow(
        texts_of("# a\n", "b", "c\n\nd\n\n- e", ""),
        on_closed=lambda block: told.append(f"closed {block.source}"),
        on_open=on_open,
    )
    assert told == [
        *("closed # a", "open nothing"),
        "open b",
        *("closed bc", "closed d", "open e"),
        "open e",
        *("closed e", "open nothing"),
    ]


async def test_a_callback_that_is_a_coroutine_is_done_before_the_next_block_and_the_next_text() -> None:
    told: list[str] = []

    async def texts() -> AsyncIterator[str]:
        for text in ("a\n\nb\n\n", "c"):
            told.append(f"takes {text!r}")
            yield text

    async def tell(block: Block | None) -> None:
        await asyncio.sleep(0)
        told.append(block.source if block else "")

    await follow(texts(), on_closed=tell, on_open=tell)
    assert told == ["takes 'a\\n\\nb\\n\\n'", "a", "b", "", "takes 'c'", "c", "c", ""]


async def test_an_exception_of_a_callback_is_raised() -> None:
    def refuse(_: Block) -> None:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        await follow(texts_of("a\n\n", "b"), on_closed=refuse, on_open=lambda _: None)
