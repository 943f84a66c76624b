"""Processes of a benchmark's own that are asked: a line of JSON goes in, a line of JSON comes out."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

_ENDING_SECONDS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The end that asks."""

    pid: int
    questions: asyncio.StreamWriter
    answers: asyncio.StreamReader

    async def ask(self, name: str, *arguments: object) -> Any:
        """What the process answers. One that has ended, of which it has told on stderr, ends the benchmark."""
        self.questions.write(json.dumps([name, *arguments]).encode() + b"\n")
        if answer := await self.answers.readline():
            return json.loads(answer)
        raise SystemExit(f"The process that was asked for {name!r} has ended.")


@asynccontextmanager
async def open_process(module: str, *arguments: str) -> AsyncGenerator[Process]:
    """Runs `python -m MODULE ARGUMENTS...`, which ends when the block is left, or with this process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), stdin=PIPE, stdout=PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Process(pid=process.pid, questions=process.stdin, answers=process.stdout)
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _ENDING_SECONDS)
        except TimeoutError:
            # It may end just now.
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def answer(answers: Mapping[str, Callable[..., object]]) -> None:
    """The end that answers: returns when nobody is left who asks."""
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(answers[name](*arguments)), flush=True)
