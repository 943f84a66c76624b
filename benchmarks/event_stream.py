"""What it costs to decode an event stream, in CPU an event, beside other decoders.

    python -m benchmarks.event_stream                   # events of 300 bytes, cut in the ways that occur

`tailrace` gives bytes, the others text. `openai` is the SDK's own decoder. `by hand` is what is often written instead:
it knows LF alone, and no limits. Each figure is the least of several rounds, in which all take turns.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from openai._streaming import SSEDecoder

from benchmarks.figures import show, show_origin
from tailrace_worker.providers.http.sse import EventStreamDecoder

Decode: TypeAlias = Callable[[Iterable[bytes]], Iterator[object]]

_DATA: Final = b"data: {%b}\n\n" % (b"x" * 300)
_NAMED: Final = b"event: content_block_delta\n" + _DATA

CUTS: Final[dict[str, list[bytes]]] = {
    "a chunk an event": [_DATA],
    "a chunk an event, named": [_NAMED],
    "the same with CR LF": [_NAMED.replace(b"\n", b"\r\n")],
    "16 events a chunk": [_NAMED * 16],
    "two chunks an event": [_NAMED[:150], _NAMED[150:]],
}


def tailrace(chunks: Iterable[bytes]) -> Iterator[object]:
    """Ours."""
    decoder = EventStreamDecoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)


def openai(chunks: Iterable[bytes]) -> Iterator[object]:
    """The SDK's."""
    return SSEDecoder().iter_bytes(iter(chunks))


def by_hand(chunks: Iterable[bytes]) -> Iterator[object]:
    """Text up to the next blank line, field by field."""
    buffer = ""
    for chunk in chunks:
        buffer += chunk.decode().replace("\r\n", "\n")
        while "\n\n" in buffer:
            block, buffer = buffer.split("\n\n", 1)
            yield dict(line.split(": ", 1) for line in block.split("\n"))


DECODERS: Final[Sequence[Decode]] = (tailrace, openai, by_hand)


def microseconds(decode: Decode, chunks: list[bytes]) -> float:
    """The CPU that one event took."""
    began = time.process_time()
    events = sum(1 for _ in decode(chunks))
    return (time.process_time() - began) / events * 1e6


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="of 1,000 repetitions (default: %(default)s)")
    rounds = range(parser.parse_args().rounds)
    runs = [[[microseconds(decode, cut * 1_000) for decode in DECODERS] for cut in CUTS.values()] for _ in rounds]
    rows = [
        [name, *map(min, zip(*of_cut, strict=True))] for name, of_cut in zip(CUTS, zip(*runs, strict=True), strict=True)
    ]
    show("µs of CPU an event", ["", *(decode.__name__.replace("_", " ") for decode in DECODERS)], rows)
    show_origin()


if __name__ == "__main__":
    main()
