"""The recorded wire data and the server that replays it: both lie beside the repository, and are no part of it."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tailrace.api_kinds import ApiKind

SHARED: Final = Path(__file__).resolve().parents[3] / "shared"
INDEX: Final = SHARED / "transcripts" / "index.json"

_CHILD: Final = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script until the pipe to us breaks: however the tests end, the server ends with them."""


def needed() -> None:
    """Skips the module that calls it where there is no recorded data."""
    if not INDEX.exists():
        missing = INDEX.relative_to(SHARED.parent)
        pytest.skip(
            f"The recorded wire data is missing: no ../{missing} beside the repository.", allow_module_level=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One recorded stream, and what the index knows of it."""

    kind: ApiKind
    name: str
    events: int
    finish: str
    usage: Mapping[str, Any] | None

    def __str__(self) -> str:
        return self.name

    def body(self) -> bytes:
        """The bytes of the stream."""
        return (INDEX.parent / f"{self.name}.sse").read_bytes()


_KINDS: Final[Mapping[str, ApiKind]] = {"chat": "openai", "responses": "openai-responses", "messages": "anthropic"}


def transcripts(*kinds: ApiKind) -> Sequence[Transcript]:
    """The transcripts of these APIs, or all."""
    return [
        Transcript(
            kind=_KINDS[each["api"]],
            name=each["name"],
            events=each["events"],
            finish=each["finish"][0],
            usage=each["usage"],
        )
        for each in json.loads(INDEX.read_text())
        if not kinds or _KINDS[each["api"]] in kinds
    ]


class Replay:
    """The running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def asked(self, model: str, *, times: int = 1) -> None:
        """Waits until it has that many requests for the model."""
        await self._journal(model, lambda seen: len(seen) >= times)

    async def requests(self, model: str) -> list[dict[str, Any]]:
        """The requests that it saw for one model, oldest first, once none of them is open any more."""
        return await self._journal(model, lambda seen: bool(seen) and all(each["outcome"] != "open" for each in seen))

    async def _journal(self, model: str, until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        async with asyncio.timeout(5), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.url}/_journal") as response:
                    journal: list[dict[str, Any]] = await response.json()
                seen = [each for each in journal if each["model"] == model]
                if until(seen):
                    return seen
                await asyncio.sleep(0.01)


@contextmanager
def running_replay() -> Generator[Replay]:
    """Starts the server on a free loopback port, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-c", _CHILD, str(SHARED / "replay.py"), "--port", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert "transcripts on" in server.stdout.readline()
            yield Replay(f"http://127.0.0.1:{port}")
        finally:
            server.kill()
