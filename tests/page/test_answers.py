"""Answers on the page: they grow, go on after a reload, are stopped, are asked for again."""

import asyncio

import pytest

from tests.page.conftest import Live, Shown, ask, expect, scenario, words

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

ANSWER = words(40)


async def test_an_answer_grows_and_its_measures_have_verdicts(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await ask(page, scenario(ANSWER, interval_ms=100))
    answer = page.get_by_role("article")
    text = answer.locator(".markdown")
    await expect(text).to_contain_text("w3")
    # It is shown before it is over.
    assert "w39" not in await text.inner_text()
    await expect(answer).to_have_attribute("data-state", "completed")
    await expect(text).to_have_text(ANSWER)
    await expect(answer.locator('[data-measure="ttft_ms"] .verdict')).to_have_text("good")
    await expect(answer.locator('[data-measure="tokens_per_second"]')).to_contain_text("tokens/s")
    await expect(page.locator("#jobs .title")).to_have_text("Why do mills have tailraces?")
    await expect(page.locator("#jobs .job")).to_have_attribute("data-state", "completed")


async def test_a_reload_in_the_middle_goes_on_where_the_answer_is(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await ask(page, scenario(ANSWER, interval_ms=150))
    text = page.locator(".answer .markdown")
    await expect(text).to_contain_text("w5")
    await page.reload()
    await expect(text).to_contain_text("w0 w1 w2 w3 w4 w5")
    await expect(page.locator(".answer")).to_have_attribute("data-state", "completed")
    await expect(text).to_have_text(ANSWER)
    await expect(page.locator(".prompt")).to_have_text("Why do mills have tailraces?")


async def test_an_answer_is_stopped_and_keeps_its_text(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await ask(page, "demo?pieces=1000&interval_ms=200")
    answer = page.get_by_role("article")
    await expect(answer.locator(".markdown")).to_contain_text("Water leaves")
    await answer.get_by_role("button", name="Stop").click()
    await expect(answer).to_have_attribute("data-state", "cancelled")
    await expect(answer.locator(".state")).to_contain_text("Stopped")
    await expect(answer.locator(".markdown")).to_contain_text("Water leaves")
    await expect(answer.get_by_role("button", name="Stop")).to_be_hidden()


async def test_an_answer_is_generated_again_in_its_place(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await ask(page, scenario("once", interval_ms=1))
    answer = page.get_by_role("article")
    await expect(answer).to_have_attribute("data-state", "completed")
    first = await answer.get_attribute("data-job")
    await answer.get_by_role("button", name="Regenerate").click()
    await expect(answer).not_to_have_attribute("data-job", str(first))
    await expect(answer).to_have_attribute("data-state", "completed")
    await expect(answer.locator(".markdown")).to_have_text("once")
    await expect(page.locator("#jobs .job")).to_have_count(2)


async def test_thinking_tools_and_sources_are_told_apart(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await ask(page, scenario("Here it is.", interval_ms=1, reasoning=30, tools=2), provider="anthropic")
    answer = page.get_by_role("article")
    await expect(answer).to_have_attribute("data-state", "completed")
    await expect(answer.locator(".thinking summary")).to_contain_text("Thought")
    await expect(answer.locator(".thoughts")).to_be_hidden()
    await answer.locator(".thinking summary").click()
    await expect(answer.locator(".thoughts")).to_be_visible()
    await expect(answer.locator(".tool")).to_have_count(2)
    await expect(answer.locator(".tool code").first).to_have_text("tool_1")
    await expect(answer.locator('[data-measure="finish_reason"]')).to_have_text("waits for tools")


async def test_a_failure_says_why_and_can_be_tried_again(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await ask(page, scenario("x", status=400))
    answer = page.get_by_role("article")
    await expect(answer).to_have_attribute("data-state", "failed")
    await expect(answer.locator(".error")).to_contain_text("provider_rejected")
    await expect(answer.get_by_role("button", name="Regenerate")).to_be_visible()


async def test_several_models_answer_side_by_side(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await page.get_by_role("button", name="+ Compare").click()
    models = page.get_by_label("Model", exact=True)
    await expect(models).to_have_count(2)
    await models.nth(0).fill(scenario("the first", interval_ms=1))
    await models.nth(1).fill(scenario("the second", interval_ms=1))
    await page.locator("#targets option[value=openai]").first.wait_for(state="attached")
    await page.get_by_label("Prompt", exact=True).fill("Which one?")
    await page.get_by_role("button", name="Send").click()
    answers = page.get_by_role("article")
    await expect(answers).to_have_count(2)
    await expect(page.locator(".turn")).to_have_count(1)
    await expect(answers.nth(0).locator(".markdown")).to_have_text("the first")
    await expect(answers.nth(1).locator(".markdown")).to_have_text("the second")
    first, second = [await answers.nth(number).bounding_box() for number in range(2)]
    assert first["y"] == second["y"]
    assert first["x"] < second["x"]


async def test_a_recent_job_of_another_tab_is_opened(live: Live, shown: Shown) -> None:
    await live.start_worker()
    page = shown.page
    await ask(page, scenario("kept", interval_ms=1), prompt="An earlier question")
    await expect(page.get_by_role("article")).to_have_attribute("data-state", "completed")
    await page.get_by_role("button", name="New").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    await expect(page.locator("#empty")).to_be_visible()
    await page.locator("#jobs .job").click()
    await expect(page.locator(".answer .markdown")).to_have_text("kept")
    await expect(page.locator(".prompt")).to_have_text("An earlier question")


@pytest.mark.timeout(400)
async def test_forty_answers_at_once_lose_and_double_nothing(live: Live, shown: Shown) -> None:
    await asyncio.gather(*(live.start_worker() for _ in range(2)))
    page = shown.page
    count = 40
    await page.locator("#targets option[value=openai]").first.wait_for(state="attached")
    for number in range(count):
        await ask(
            page, scenario(f"begin{number} {words(30)} end{number}", interval_ms=400), prompt=f"question {number}"
        )
    answers = page.locator(".answer")
    await expect(answers).to_have_count(count)
    await expect(page.locator('.answer[data-state="completed"]')).to_have_count(count)
    texts = await answers.locator(".markdown").all_inner_texts()
    prompts = await page.locator(".prompt").all_inner_texts()
    told = dict(zip(prompts, texts, strict=True))
    assert told == {f"question {number}": f"begin{number} {words(30)} end{number}" for number in range(count)}
