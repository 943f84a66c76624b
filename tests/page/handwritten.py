"""Answers whose events a test writes by itself, because no simulator says such things."""

from typing import Any

from tailrace import Citation, ToolCall
from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.keys import Keys
from tests.page.conftest import Live, expect
from tests.support.gateways import HandWorker

_HOSTILE = "<img src=x onerror=window.harmed=1>"


async def answer_with(live: Live, page: Any, text: str, *, hostile_parts: bool = False) -> None:
    """Lets the page ask, and answers it in small pieces."""
    # No worker has told which providers there are.
    await page.evaluate("localStorage.setItem('tailrace.targets', JSON.stringify([{provider: 'openai', model: 'm'}]))")
    await page.reload()
    await page.get_by_label("Prompt", exact=True).fill("Harm me")
    await page.get_by_label("Prompt", exact=True).press("Enter")
    answer = page.get_by_role("article")
    await expect(answer).to_have_count(1)
    job_id = await answer.get_attribute("data-job")
    settings = live.gateway.settings
    broker = Broker(open_redis(settings.redis_url))
    try:
        worker = HandWorker(broker, Keys(settings.prefix), job_id)
        await worker.start()
        for begin in range(0, len(text), 40):
            await worker.say(text[begin : begin + 40])
        if hostile_parts:
            await worker.append(
                ToolCall(index=0, call_id="1", name=_HOSTILE, arguments=f'{{"a": "{_HOSTILE}"'),
                Citation(source="web", url="javascript:window.harmed=2", title=_HOSTILE, quote=_HOSTILE),
                Citation(source="web", url="https://example.com/", title="A page"),
            )
        await worker.complete()
    finally:
        await broker.aclose()
