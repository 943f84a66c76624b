"""The providers' own SDKs, pointed at a simulator, in one shape for the tests that hold for all."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias

import anthropic
import openai

from tailrace_worker.simulator import Simulator

Stream: TypeAlias = Callable[[Simulator, str], AsyncGenerator[str, None]]


def openai_client(simulator: Simulator) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{simulator.url}/v1", api_key="test", max_retries=0)


def anthropic_client(simulator: Simulator) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=simulator.url, api_key="test", max_retries=0)


async def openai_deltas(simulator: Simulator, model: str) -> AsyncGenerator[str, None]:
    async with openai_client(simulator) as client:
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        async with stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield choice.delta.content


async def responses_deltas(simulator: Simulator, model: str) -> AsyncGenerator[str, None]:
    async with openai_client(simulator) as client:
        stream = await client.responses.create(model=model, input="Hi", stream=True)
        async with stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    yield event.delta


async def anthropic_deltas(simulator: Simulator, model: str) -> AsyncGenerator[str, None]:
    async with anthropic_client(simulator) as client:
        stream = await client.messages.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=64, stream=True
        )
        async with stream:
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    yield event.delta.text


async def read(stream: Stream, simulator: Simulator, model: str) -> tuple[str, Exception | None]:
    """The text that arrived, and what ended it if that was not the end."""
    text = ""
    try:
        async for delta in stream(simulator, model):
            text += delta
    except Exception as error:  # noqa: BLE001 - handed to the test
        return text, error
    return text, None
