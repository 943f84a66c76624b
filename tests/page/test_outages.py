"""What the page does while the gateway or the worker is lost."""

import asyncio
import signal

import pytest

from tests.page.conftest import Live, Shown, ask, expect, scenario, words

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


async def test_a_gateway_that_is_killed_and_started_again_costs_no_word(live: Live, shown: Shown) -> None:
    shown.expected = "net::ERR_"
    await live.start_worker()
    page = shown.page
    answer = words(40)
    await ask(page, scenario(answer, interval_ms=400))
    text = page.locator(".answer .markdown")
    await expect(text).to_contain_text("w5")
    await live.gateway.kill()
    await expect(page.locator("#connection")).to_be_visible()
    await live.gateway.start()
    await expect(page.locator("#connection")).to_be_hidden()
    await expect(page.locator(".answer")).to_have_attribute("data-state", "completed")
    await expect(text).to_have_text(answer)


async def test_a_restart_after_a_lost_worker_is_told_and_replaces_the_text(live: Live, shown: Shown) -> None:
    lost = await live.start_worker()
    page = shown.page
    answer = words(40)
    await ask(page, scenario(answer, interval_ms=150))
    text = page.locator(".answer .markdown")
    await expect(text).to_contain_text("w5")
    lost.signal(signal.SIGKILL)
    await live.start_worker()
    await expect(page.locator(".history")).to_have_text("The worker was lost: attempt 2 began again.")
    await expect(page.locator(".answer")).to_have_attribute("data-state", "completed")
    await expect(text).to_have_text(answer)


async def test_a_job_that_was_deleted_takes_no_other_with_it(live: Live, shown: Shown) -> None:
    shown.expected = "status of 404"
    await live.start_worker()
    page = shown.page
    answer = words(40)
    await ask(page, "demo?pieces=1000&interval_ms=500", prompt="the deleted one")
    await ask(page, scenario(answer, interval_ms=100), prompt="the other one")
    answers = page.locator(".answer")
    await expect(answers.nth(1).locator(".markdown")).to_contain_text("w2")
    job_id = await answers.nth(0).get_attribute("data-job")
    async with asyncio.timeout(60):
        status = await page.evaluate(
            "async (url) => (await fetch(url, {method: 'DELETE'})).status", f"v1/jobs/{job_id}"
        )
    assert status == 204
    await page.reload()
    await expect(answers.nth(0)).to_have_attribute("data-state", "gone")
    await expect(answers.nth(1)).to_have_attribute("data-state", "completed")
    await expect(answers.nth(1).locator(".markdown")).to_have_text(answer)
