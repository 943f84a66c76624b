"""What is printed above the lines that are drawn, as far as the event loop is concerned."""

import asyncio
import io

import pytest
from rich.console import Console
from rich.text import Text

from tailrace.cli.tty.screen import Screen

COUNT = 50


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=20, height=10, color_system=None)


async def ending(console: Console) -> asyncio.Task[None]:
    """A screen whose time is over when much waits to be printed, each line in a turn of its own."""
    drawn = Screen(Text("status"), console=console, transient=True, print_seconds=0)
    drawing = asyncio.create_task(drawn.draw())
    await asyncio.sleep(0)
    assert "status" in written(console)
    drawn.print(*(Text(f"line {number}") for number in range(COUNT)))
    drawing.cancel()
    return drawing


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_printing_the_rest_at_the_end_does_not_block_the_event_loop(console: Console) -> None:
    drawing = await ending(console)
    turns = 0
    while not drawing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= COUNT
    assert written(console).endswith("".join(f"line {number}\n" for number in range(COUNT)))


async def test_ctrl_c_during_the_last_printing_stops_it_and_shows_the_cursor(console: Console) -> None:
    drawing = await ending(console)
    await asyncio.sleep(0)
    assert written(console).endswith("\x1b[?25hline 0\n")
    drawing.cancel()
    await asyncio.wait({drawing})
    assert written(console).endswith("\x1b[?25hline 0\n")
