"""What the scripts of all frameworks share: the question, the tool, and the line of JSON that they print."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

QUESTION = "Why do mills have tailraces?"
ASK = 'Look up "tailrace".'
CALLS: list[dict[str, Any]] = []
"""The arguments with which the tool was called in this loop."""


def look_up(number: int, words: str, sign: str) -> str:
    """Look something up."""
    CALLS.append({"number": number, "words": words, "sign": sign})
    return f"Found {number}: {words} {sign}"


def answer(text: str, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """Return what a test compares."""
    return {"text": text, "input_tokens": input_tokens, "output_tokens": output_tokens}


def run(ask: Callable[[str, str, str], Awaitable[dict[str, Any]]]) -> None:
    """Ask models one after the other, and print what came of it.

    The script's argument is `{"url": …, "asked": [[API, MODEL], …]}`. The function returns the answers to a plain
    `chat`, of a `loop` with a tool, and of a `stream`.
    """
    given = json.loads(sys.argv[1])

    async def ask_all() -> list[dict[str, Any]]:
        answers = []
        for api, model in given["asked"]:
            CALLS.clear()
            answers.append({**await ask(api, model, given["url"]), "calls": list(CALLS)})
        return answers

    print(json.dumps({"answers": asyncio.run(ask_all())}))
