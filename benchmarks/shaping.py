"""What the shaping stages cost, in CPU a piece, and how late a silent provider is cut off.

    python -m benchmarks.shaping                        # 1,000 pieces and ten times as many, of 4 characters

Each figure is the least of several rounds, in which all stages take turns, without what the source costs by itself. A
stage is linear where ten times the text takes about ten times as long. Hostile text is made of the beginnings of what
stages look for.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import uvloop

from benchmarks.figures import show, show_origin
from tailrace.errors import ProviderError
from tailrace.events import Delta
from tailrace.request.guards import Guard
from tailrace.request.limits import Buffering, Timeouts
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.shaping.boxes import boxes
from tailrace_worker.shaping.buffer import buffer
from tailrace_worker.shaping.deadlines import CallWatch, deadlines
from tailrace_worker.shaping.guards.apply import shielded
from tailrace_worker.shaping.guards.compiler import GuardCompiler
from tailrace_worker.shaping.guards.moderate import ModerationVerdict

Pieces: TypeAlias = AsyncGenerator[Piece, None]
Stage: TypeAlias = Callable[[Pieces], Pieces]

TEXTS: Final = {
    "prose": 'The quick brown fox jumps over the lazy dog, again. It doesn\'t "mind" that it is 3.14 m long! ',
    "numbers": "20 30 40 50 60 1987 2024 15.01.2026 1 1 1 0 3.14 021 345 678 (4) 4111 4111 1,000 2026-01-15 7/8 ",
    "hostile": "4111 1111 1111 111 [10, 20, 30, a@b.c.d `[[1 +49 30 1234 sk-ab 10.0.0. ::1:2: DE89 3704 ... e.g. cat: ",
}
TIMES: Final = 10

_PIECE_CHARS: Final = 4
_COMPILER: Final = GuardCompiler()
_STOP: Final = Finish(reason="stop", provider_reason="stop")
_LIMIT_SECONDS: Final = 0.2
_MOST_LATE_MS: Final = 50


async def judge(text: str) -> ModerationVerdict:
    """Finds nothing wrong."""
    return ModerationVerdict(() if text else ("empty",))


def guarding(*guards: Guard) -> Stage:
    """A stage for these guards."""
    return lambda pieces: shielded(pieces, guards, rules_of=_COMPILER.rules_of, judge=judge)


STAGES: Final[dict[str, tuple[Stage, str]]] = {
    "deadlines": (lambda pieces: deadlines(pieces, CallWatch(Timeouts())), "<= 1"),
    "deadlines, clean": (
        lambda pieces: guarding({"type": "clean"})(deadlines(pieces, CallWatch(Timeouts()))),
        "<= 3",
    ),
    "max_chars": (guarding({"type": "max_chars", "limit": 2**31 - 1}), ""),
    "redact, all kinds": (
        guarding({"type": "redact", "kinds": ["email", "phone", "card", "iban", "ip", "secret"]}),
        "",
    ),
    "redact, all kinds and words": (
        guarding(
            {
                "type": "redact",
                "kinds": ["email", "phone", "card", "iban", "ip", "secret"],
                "words": [f"{number:x} own word that is looked for" for number in range(0x1000, 0x1000 + 200)],
            }
        ),
        "",
    ),
    "redact, 100 words": (guarding({"type": "redact", "words": [f"word{number}" for number in range(100)]}), ""),
    "block, a pattern": (guarding({"type": "block", "patterns": [r"(?i)project\s+\w{1,40}\s+is secret"]}), ""),
    "moderate": (guarding({"type": "moderate"}), ""),
    "boxes": (boxes, ""),
    "buffer": (lambda pieces: buffer(pieces, Buffering()), ""),
}


def crumbs(text: str, count: int) -> list[Piece]:
    """As many pieces of the text, which is repeated."""
    whole = text * (count * _PIECE_CHARS // len(text) + 1)
    return [Delta(text=whole[at : at + _PIECE_CHARS]) for at in range(0, count * _PIECE_CHARS, _PIECE_CHARS)]


async def source(pieces: Iterable[Piece]) -> Pieces:
    """A provider that never lets one wait."""
    for piece in pieces:
        yield piece
    yield _STOP


async def microseconds(stage: Stage, pieces: Sequence[Piece]) -> float:
    """The CPU that each piece took."""
    began = time.process_time()
    async for _ in stage(source(pieces)):
        pass
    return (time.process_time() - began) / len(pieces) * 1e6


async def late_ms(said: Sequence[Piece]) -> float:
    """How long after its deadline a provider is cut off that says this, and then nothing."""
    silent_since = time.monotonic()

    async def falls_silent() -> Pieces:
        nonlocal silent_since
        for piece in said:
            yield piece
        silent_since = time.monotonic()
        await asyncio.Event().wait()

    limits = Timeouts(first_token_seconds=_LIMIT_SECONDS, idle_seconds=_LIMIT_SECONDS)
    # What is finished ends then, and does not fail.
    with suppress(ProviderError):
        async for _ in deadlines(falls_silent(), CallWatch(limits)):
            pass
    return (time.monotonic() - silent_since - _LIMIT_SECONDS) * 1e3


async def costs(text: str, options: argparse.Namespace) -> list[list[object]]:
    """The rows of the stages."""
    sizes = [crumbs(text, options.pieces), crumbs(text, options.pieces * TIMES)]
    stages: list[Stage] = [lambda pieces: pieces, *(stage for stage, _ in STAGES.values())]
    runs = [[[await microseconds(stage, size) for stage in stages] for size in sizes] for _ in range(options.rounds)]
    small, large = ([min(each) for each in zip(*of_size, strict=True)] for of_size in zip(*runs, strict=True))
    bare_small, bare_large = small[0], large[0]
    return [
        [name, few - bare_small, many - bare_large, target, TIMES * (many - bare_large) / max(few - bare_small, 1e-3)]
        for (name, (_, target)), few, many in zip(STAGES.items(), small[1:], large[1:], strict=True)
    ]


async def run(options: argparse.Namespace) -> None:
    """Measures and prints."""
    header = ["", f"{options.pieces:,} pieces", f"{options.pieces * TIMES:,}", "target", "times as long"]
    for name, text in TEXTS.items():
        show(f"µs of CPU a piece: {name}", header, await costs(text, options))
    word = Delta(text="word")
    cuts: dict[str, list[Piece]] = {
        "before the first piece": [],
        "in the middle": [word] * 9,
        "before the end": [word, _STOP],
    }
    late = {name: max([await late_ms(said) for _ in range(options.rounds)]) for name, said in cuts.items()}
    show(
        "ms by which a silent provider is cut off late, at most",
        ["silent", "late", "target"],
        [[name, ms, f"<= {_MOST_LATE_MS}"] for name, ms in late.items()],
    )
    show_origin()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=1_000, help="of the smaller text (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="(default: %(default)s)")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
