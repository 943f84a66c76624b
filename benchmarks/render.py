"""What it costs to parse Markdown as it arrives, in CPU, and what it costs to parse the whole again at each delta.

    python -m benchmarks.render                         # texts of up to a megabyte, in deltas of 4 characters

After each delta, what is open is looked at. `shown` is an interface that takes the source of the open block each time;
`again` is what is often done instead: markdown-it over all that has come. Each figure is the least of several rounds.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Final

from markdown_it import MarkdownIt

from benchmarks.figures import show, show_origin
from tailrace.render import MarkdownStream

_DELTA: Final = 4
_KIB: Final = 1024

_ANSWER: Final = """\
## How it is done

A *channel* carries the water away, as [the manual](https://example.com) says:

1. Open the gate, and wait until `level` falls.
2. Look at the wheel:
   - it turns, or
   - it does not.

```python
async for event in job.tail():
    print(event.text, end="")
```

| wheel | turns a minute |
|-------|---------------:|
| left  |             12 |
| right |              9 |

> That is all there is to it.

"""

TEXTS: Final[dict[str, Callable[[int], str]]] = {
    "an answer, over and over": lambda size: _ANSWER * (size // len(_ANSWER)),
    "a line that does not end": lambda size: "word " * (size // 5),
    "a fence that does not end": lambda size: "```\n" + "x = 1\n" * (size // 6),
    "a table": lambda size: "|a|b|\n|-|-|\n" + "|1|2|\n" * (size // 6),
    "a list": lambda size: "- item\n" * (size // 7),
    "quotes in quotes, then lazy lines": lambda size: ">" * (size // 2) + "a\n" + "b\n" * (size // 4),
    "lists in lists, then blank lines": lambda size: "- " * (size // 4) + "a" + "\n" * (size // 2),
    "stars": lambda size: "*" * size,
}


def deltas(text: str) -> Iterator[str]:
    """The text as it arrives."""
    return (text[at : at + _DELTA] for at in range(0, len(text), _DELTA))


def looked_at(text: str) -> None:
    """Feeds a text, and looks at the open block after each delta."""
    stream = MarkdownStream()
    for delta in deltas(text):
        stream.feed(delta)
        _ = stream.open
    stream.end()


def shown(text: str) -> None:
    """Feeds a text, and takes the source of the open block after each delta."""
    stream = MarkdownStream()
    for delta in deltas(text):
        stream.feed(delta)
        _ = stream.open and stream.open.source
    stream.end()


def again(text: str) -> None:
    """Parses all that has come, after each delta."""
    markdown = MarkdownIt("commonmark").enable("table").disable("inline")
    so_far = ""
    for delta in deltas(text):
        so_far += delta
        markdown.parse(so_far)


def cpu_seconds(parse: Callable[[str], None], text: str, rounds: int) -> float:
    """What it costs to parse a text; the least of some rounds."""
    seconds: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        parse(text)
        seconds.append(time.process_time() - began)
    return min(seconds)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--kib", type=int, default=1_000, help="the size of the largest texts (default: %(default)s)")
    arguments = parser.parse_args()

    sizes = [arguments.kib // 100, arguments.kib // 10, arguments.kib]
    rows: list[list[object]] = []
    for name, text in TEXTS.items():
        costs = [cpu_seconds(looked_at, text(size * _KIB), arguments.rounds) * 1e6 / size for size in sizes]
        rows.append([name, *costs, costs[-1] / costs[0]])
    show("µs of CPU a KiB", ["", *(f"{size} KiB" for size in sizes), "last by first"], rows)

    rows = []
    for size in (1, 4):
        answer = TEXTS["an answer, over and over"](size * _KIB)
        rows.append(
            [
                f"{size} KiB",
                *(cpu_seconds(parse, answer, arguments.rounds) * 1e3 for parse in (looked_at, shown, again)),
            ]
        )
    show("ms of CPU an answer", ["", "looked at", "shown", "again"], rows)
    show_origin()


if __name__ == "__main__":
    main()
