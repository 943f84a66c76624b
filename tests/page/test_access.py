"""The page for everybody: API keys, assistive technology, phones, keyboards, both colour schemes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tailrace import Settings, Tailrace
from tests.page.conftest import Browser, Live, Shown, ask, expect, opened, scenario
from tests.support.node import PACKAGES

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

AXE = PACKAGES / "node_modules" / "axe-core" / "axe.min.js"


def axe_source(file: Path = AXE) -> str:
    if not file.exists():
        pytest.skip("axe-core is not installed: `make .node/installed`.")
    return file.read_text(encoding="utf-8")


async def faults_of(page: Any) -> list[str]:
    """The faults that axe calls serious or critical."""
    await page.evaluate(axe_source())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        json.dumps([fault["id"], [node["html"] for node in fault["nodes"]]])
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 860), (390, 844)])
async def test_axe_finds_no_serious_fault(browser: Browser, live: Live, scheme: str, size: tuple[int, int]) -> None:
    axe_source()
    await live.start_worker()
    async with opened(browser, live.gateway.url, size, color_scheme=scheme) as shown:
        page = shown.page
        await page.locator("#targets option[value=openai]").first.wait_for(state="attached")
        assert await faults_of(page) == []
        await ask(page, "demo?interval_ms=1&reasoning=20&tools=1")
        await ask(page, scenario("x", status=400))
        await expect(page.get_by_role("article").nth(0)).to_have_attribute("data-state", "completed")
        await expect(page.get_by_role("article").nth(1)).to_have_attribute("data-state", "failed")
        await expect(page.locator('[data-measure="ttft_ms"] .verdict')).to_have_count(1)
        assert await faults_of(page) == []
        if size[0] < 500:
            await page.get_by_role("button", name="Jobs").click()
        await expect(page.locator("#jobs .job")).to_have_count(2)
        assert await faults_of(page) == []
        # Nothing is wider than the window.
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_colours_follow_the_system_until_the_person_chooses(browser: Browser, live: Live) -> None:
    async with opened(browser, live.gateway.url, color_scheme="dark") as shown:
        page = shown.page
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = await page.evaluate(ground)
        await page.get_by_role("button", name="Use light colours").click()
        light = await page.evaluate(ground)
        assert dark != light
        await page.reload()
        assert await page.evaluate(ground) == light
        await expect(page.get_by_role("button", name="Use dark colours")).to_be_visible()


async def test_the_keyboard_alone_is_enough(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await page.locator("#targets option[value=openai]").first.wait_for(state="attached")
    await page.get_by_label("Model", exact=True).fill(scenario("done", interval_ms=1))
    prompt = page.get_by_label("Prompt", exact=True)
    await prompt.focus()
    await page.keyboard.type("one line")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("another")
    await page.keyboard.press("Enter")
    await expect(page.locator(".prompt")).to_have_text("one line\nanother")
    await expect(prompt).to_have_value("")
    await expect(page.locator(".answer .markdown")).to_have_text("done")


async def test_an_example_becomes_the_prompt(shown: Shown) -> None:
    await shown.page.get_by_role("button", name="Derive the quadratic formula").click()
    await expect(shown.page.get_by_label("Prompt", exact=True)).to_have_value(
        "Derive the quadratic formula step by step. Write the formulas in LaTeX between dollar signs."
    )


async def test_a_key_is_asked_for_and_kept_in_this_tab_only(browser: Browser, live: Live, settings: Settings) -> None:
    async with Tailrace.connect(**settings.model_dump()) as tailrace:
        _, token = await tailrace.access.api_keys.create(tenant="acme")
    await live.start_worker()
    async with opened(browser, live.gateway.url) as shown:
        shown.expected = "status of 401"
        page = shown.page
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        await dialog.get_by_label("API key").fill(token)
        await dialog.get_by_role("button", name="Use this key").click()
        await expect(dialog).to_be_hidden()
        await ask(page, scenario("for acme", interval_ms=1))
        await expect(page.locator(".answer .markdown")).to_have_text("for acme")
        assert token not in await page.evaluate("JSON.stringify(localStorage)")
        assert token not in page.url
        await page.reload()
        await expect(page.locator(".answer .markdown")).to_have_text("for acme")
