"""The demo as a process: what it shows, how it ends, and that nothing of it is left."""

import asyncio
import os
import pty
import re
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace_worker.demo.question import OPENAI_QUESTION, QUESTIONS
from tests.support.verb_process import VerbProcess, running_verb

STREAMING = f"openai    | {OPENAI_QUESTION.simulated_answer[:20]}"
_SECONDS = 30

RunDemo = Callable[..., AbstractAsyncContextManager[VerbProcess]]


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.fixture
def run_demo(tmp_path: Path) -> RunDemo:
    """Runs the demo without a Redis and without keys, but for what is given."""

    @asynccontextmanager
    async def run(**given: Any) -> AsyncGenerator[VerbProcess]:
        async with running_verb("demo", scratch=tmp_path, **given) as demo:
            yield demo
        assert not files(tmp_path)

    return run


@asynccontextmanager
async def openai_that_knows_no_key() -> AsyncGenerator[str]:
    async def refuse(_: web.Request) -> web.Response:
        error = {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}
        return web.json_response({"error": error}, status=401)

    application = web.Application()
    application.router.add_post("/v1/chat/completions", refuse)
    async with TestServer(application) as server:
        yield str(server.make_url("/v1"))


def said_by(label: str, shown: str) -> str:
    """What stands behind a label, joined: `job ...`, the text, and how it ended."""
    return " ".join(line.partition(" | ")[2] for line in shown.splitlines() if line.startswith(label))


async def test_the_demo_shows_two_answers_and_a_cancel_and_ends_by_itself(run_demo: RunDemo) -> None:
    async with run_demo(HTTP_PROXY="http://127.0.0.1:9") as demo:
        assert await demo.ends() == (0, "")
        for question in QUESTIONS:
            assert f"{question.simulated_answer} [completed: " in said_by(question.api.provider, demo.shown)
            begin = demo.shown.index(f"{question.api.provider:9} | {question.simulated_answer[:20]}")
            assert begin < demo.shown.index("[completed: "), "one after the other, not side by side"
        assert "[cancelled after 1." in said_by("long", demo.shown)
        elapsed_ms = re.match(r"(\d+) ms from the call of cancel\(\)", said_by("cancelled", demo.shown))
        assert elapsed_ms is not None
        assert int(elapsed_ms[1]) < 1_000


async def test_on_a_terminal_the_answers_grow_in_panels(run_demo: RunDemo) -> None:
    master, slave = pty.openpty()
    screen = bytearray()
    drained = asyncio.Event()

    def read() -> None:
        try:
            data = os.read(master, 65_536)
        except OSError:  # On Linux, the end of a terminal.
            data = b""
        screen.extend(data)
        if not data:
            asyncio.get_running_loop().remove_reader(master)
            drained.set()

    asyncio.get_running_loop().add_reader(master, read)
    async with run_demo(out=slave, TERM="xterm-256color", COLUMNS="90", LINES="40") as demo:
        os.close(slave)
        assert await demo.ends() == (0, "")
        await asyncio.wait_for(drained.wait(), _SECONDS)
    os.close(master)
    shown = screen.decode()
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown)
    last = plain[plain.rindex("openai simulated") : plain.index("Enqueuing a third job")]
    for question in QUESTIONS:
        assert set(question.simulated_answer.split()) <= set(last.split())
    assert last.count("completed: ") == len(QUESTIONS)
    assert re.search(r"cancelled +\d+ ms from the call", plain)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is still hidden"


async def test_a_killed_demo_leaves_nothing_behind(run_demo: RunDemo) -> None:
    async with run_demo() as demo:
        await demo.shows(STREAMING)
        assert len([*demo.processes()]) == 7, "the demo, three processes, and a watchdog each"
        demo.send(signal.SIGKILL)
        await demo.ends()
        await demo.leaves_nothing()


@pytest.mark.parametrize(
    ("moment", "number", "code"), [("simulator | ", signal.SIGTERM, 143), (STREAMING, signal.SIGINT, 130)]
)
async def test_a_demo_that_is_told_to_end_tidies_up_and_says_nothing(
    run_demo: RunDemo, moment: str, number: signal.Signals, code: int
) -> None:
    async with run_demo() as demo:
        await demo.shows(moment)
        demo.send(number)
        assert await demo.ends() == (code, "")
        assert not [*demo.processes()]


async def test_a_key_that_the_provider_does_not_know_is_told_on_one_line(run_demo: RunDemo) -> None:
    async with (
        openai_that_knows_no_key() as url,
        run_demo(OPENAI_API_KEY="sk-this-is-no-key", OPENAI_BASE_URL=url) as demo,
    ):
        code, errors = await demo.ends()
        assert code == 1
        assert re.fullmatch(r"tailrace demo: [^\n]*openai failed, provider_authentication: [^\n]+\n", errors)
        assert "sk-this-is-no-key" not in errors + demo.shown
        assert "simulator" in demo.shown, "the other API has no key"


@pytest.mark.parametrize(
    ("verb", "moment"), [("worker", STREAMING), ("simulate", STREAMING), ("simulate", "simulator | ")]
)
async def test_a_process_that_dies_ends_the_demo(run_demo: RunDemo, verb: str, moment: str) -> None:
    async with run_demo() as demo:
        await demo.shows(moment)
        (found,) = demo.find("tailrace.cli", verb)
        found.kill()
        code, errors = await demo.ends()
        assert code == 1
        assert errors.startswith(f"tailrace demo: 'tailrace {verb}' has ended with exit code 137:\n")
        assert "Traceback" not in errors


async def test_a_worker_that_does_not_start_is_told_with_its_own_words(run_demo: RunDemo) -> None:
    async with run_demo(TAILRACE_MAX_JOBS="0") as demo:
        code, errors = await demo.ends()
        assert code == 1
        assert "'tailrace worker' has ended with exit code 2:\n    tailrace worker: TAILRACE_MAX_JOBS: " in errors


async def test_a_redis_that_is_given_is_used(run_demo: RunDemo, broker_url: str) -> None:
    async with run_demo(TAILRACE_REDIS_URL=broker_url) as demo:
        await demo.shows("simulator | ")
        assert broker_url in said_by("redis", demo.shown)
        assert len([*demo.processes()]) <= 5, "the demo, simulator and worker, and a watchdog each"


@pytest.mark.parametrize(("url", "code"), [("redis://127.0.0.1:1/0", 1), ("not-a-url", 2)])
async def test_a_redis_that_cannot_be_used_is_told_on_one_line(run_demo: RunDemo, url: str, code: int) -> None:
    async with run_demo(TAILRACE_REDIS_URL=url) as demo:
        ended, errors = await demo.ends()
        assert ended == code
        assert re.fullmatch(r"tailrace demo: [^\n]+\n", errors)
        assert url in errors
