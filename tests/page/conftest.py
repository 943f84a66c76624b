"""A real browser that shows the page of a live gateway, with the simulator and workers behind it."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeAlias

import pytest
import pytest_asyncio

from tailrace import Settings
from tailrace_worker.simulator import Simulator
from tests.support.processes import WorkerProcess, worker_process

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS: Final = 60_000
"""How long a test waits for what the page shows. Nothing takes so long but on a machine that is busy."""
_CLOSING_SECONDS: Final = 30.0
_DESKTOP: Final = (1280, 860)

Browser: TypeAlias = Any
Page: TypeAlias = Any
"""A page of Playwright, which has no types for those who do not have it installed."""


@dataclass
class Shown:
    """A page, and what went wrong in it. Playwright adds attributes to it."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list[str])
    foreign: list[str] = field(default_factory=list[str])
    """The addresses that it asked for anywhere else than at its gateway."""
    expected: str | None = None
    """What the browser itself says of failed requests, if the test makes some fail: `net::ERR_`, `status of 404`."""

    def listen(self) -> None:
        """Notes what goes wrong from now on."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _on_error(self, error: Any) -> None:
        self.problems.append(str(error))

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.foreign.append(request.url)

    def unexpected(self) -> list[str]:
        """The problems but for the expected ones."""
        return [
            problem
            for problem in self.problems
            if self.expected is None
            or not problem.startswith("Failed to load resource")
            or self.expected not in problem
        ]


class LiveGateway:
    """A gateway in a process of its own, to be killed and started again at the same address."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = ""
        self._process: Process | None = None

    async def start(self) -> None:
        """Starts it; the port stays that of the first time."""
        port = self.url.rpartition(":")[2] or "0"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tailrace", "serve", "--port", port),
            env={**os.environ, "TAILRACE_REDIS_URL": self.settings.redis_url, "TAILRACE_PREFIX": self.settings.prefix},
            stdout=PIPE,
            stderr=DEVNULL,
        )
        self._process = process
        assert process.stdout
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        self.url = line.removeprefix("gateway on ").partition(",")[0]
        assert self.url.startswith("http://"), line

    async def kill(self) -> None:
        """Kills it in the middle of whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            async with asyncio.timeout(_CLOSING_SECONDS):
                await process.wait()


class Live:
    """A gateway with workers, for one test."""

    def __init__(self, gateway: LiveGateway, simulator: Simulator, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self._simulator = simulator
        self._stack = stack

    async def start_worker(self) -> WorkerProcess:
        """Starts one more worker."""
        return await self._stack.enter_async_context(worker_process(self.gateway.settings, self._simulator))


@cache
def playwright() -> Any:
    """Playwright's module; the test is skipped where it is missing."""
    module = pytest.importorskip("playwright.async_api", reason="playwright is not installed.")
    module.expect.set_options(timeout=PATIENCE_MS)
    return module


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, one for all tests."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed.")
    async with playwright().async_playwright() as driver:
        # A sandbox cannot be made in most containers, and in none as root.
        started = await driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        async with asyncio.timeout(_CLOSING_SECONDS):
            await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def live(settings: Settings) -> AsyncIterator[Live]:
    """A gateway; a test that needs a worker starts one."""
    gateway = LiveGateway(settings)
    async with Simulator() as simulator, AsyncExitStack() as stack:
        stack.push_async_callback(gateway.kill)
        await gateway.start()
        yield Live(gateway, simulator, stack)


@pytest_asyncio.fixture(loop_scope="session")
async def shown(browser: Browser, live: Live) -> AsyncIterator[Shown]:
    """The page, in a window of its own. At the end of the test nothing may have gone wrong in it."""
    async with opened(browser, live.gateway.url) as shown:
        yield shown


@asynccontextmanager
async def opened(browser: Browser, url: str, size: tuple[int, int] = _DESKTOP, **options: Any) -> AsyncGenerator[Shown]:
    """Opens the page of a gateway; at the end nothing may have gone wrong in it."""
    width, height = size
    context = await browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(PATIENCE_MS)
    try:
        page = await context.new_page()
        shown = Shown(page, url)
        shown.listen()
        await page.goto(url)
        yield shown
        assert shown.unexpected() == []
        assert shown.foreign == []
    finally:
        async with asyncio.timeout(_CLOSING_SECONDS):
            await context.close()


async def ask(page: Page, model: str, prompt: str = "Why do mills have tailraces?", provider: str = "openai") -> None:
    """Sends a prompt as a person does."""
    await page.get_by_label("Provider", exact=True).locator(f"option[value={provider}]").wait_for(state="attached")
    await page.get_by_label("Provider", exact=True).select_option(provider)
    await page.get_by_label("Model", exact=True).fill(model)
    await page.get_by_label("Prompt", exact=True).fill(prompt)
    await page.get_by_label("Prompt", exact=True).press("Enter")


def expect(found: Any) -> Any:
    """What a part of the page comes to be."""
    return playwright().expect(found)


def words(count: int) -> str:
    """A text in which no word comes twice, so that lost and doubled ones show."""
    return " ".join(f"w{number}" for number in range(count))


def scenario(text: str, **options: object) -> str:
    """The model of the simulator that says a text."""
    given = "".join(f"&{name}={value}" for name, value in options.items())
    model = f"demo?text={text.replace(' ', '+')}{given}"
    assert len(model) <= 256
    return model
