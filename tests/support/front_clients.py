"""`FrontClients`: the official SDKs as clients of the gateway's fronts, and what they make of an answer."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tailrace.api_kinds import ApiKind

HI: Any = [{"role": "user", "content": "Hi"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a client has of a call."""

    job_id: str
    """`""` if a provider itself was called."""
    text: str
    """The text, as far as it has come; of Responses, that of the last attempt."""
    whole: str | None = None
    """The text of the response at the end of a stream of Responses, if it is complete."""
    error: Exception | None = None
    """What the SDK has raised."""
    kind: str | None = None
    """What the error inside a stream is called in this API; `None` if there is none."""
    message: str = ""


class FrontClients:
    """A client of each front. The SDKs are unchanged but for the base URL."""

    def __init__(self, chat: AsyncOpenAI, messages: AsyncAnthropic) -> None:
        self._openai: Any = chat
        self._anthropic: Any = messages

    async def ask(self, front: ApiKind, model: str, *, is_streamed: bool) -> Received:
        """Makes a call by this API."""
        calls = {
            "openai": (self._chat, self._streamed_chat),
            "openai-responses": (self._response, self._streamed_response),
            "anthropic": (self._message, self._streamed_message),
        }
        try:
            return await calls[front][is_streamed](model)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            return Received(job_id=_job(error.response), text="", error=error, message=error.message)

    async def _chat(self, model: str) -> Received:
        raw = await self._openai.chat.completions.with_raw_response.create(model=model, messages=HI)
        return Received(job_id=_job(raw), text=raw.parse().choices[0].message.content)

    async def _streamed_chat(self, model: str) -> Received:
        raw = await self._openai.chat.completions.with_raw_response.create(model=model, messages=HI, stream=True)
        said: list[str] = []
        try:
            async for chunk in raw.parse():
                said += [choice.delta.content or "" for choice in chunk.choices]
        except openai.APIError as error:
            message = error.message
            return Received(job_id=_job(raw), text="".join(said), error=error, kind=error.type, message=message)
        return Received(job_id=_job(raw), text="".join(said))

    async def _response(self, model: str) -> Received:
        raw = await self._openai.responses.with_raw_response.create(model=model, input="Hi")
        return Received(job_id=_job(raw), text=raw.parse().output_text)

    async def _streamed_response(self, model: str) -> Received:
        raw = await self._openai.responses.with_raw_response.create(model=model, input="Hi", stream=True)
        said: dict[int, str] = {}
        last: Any = None
        async for event in raw.parse():
            if event.type == "response.output_text.delta":
                said[event.output_index] = said.get(event.output_index, "") + event.delta
            elif event.type == "error":
                return Received(job_id=_job(raw), text=_newest(said), kind=event.code, message=event.message)
            elif hasattr(event, "response"):
                last = event
        assert last.type == f"response.{last.response.status}"
        job_id, text, last = _job(raw), _newest(said), last.response
        if last.error is not None:
            return Received(job_id=job_id, text=text, kind=last.error.code, message=last.error.message)
        return Received(job_id=job_id, text=text, whole=last.output_text)

    async def _message(self, model: str) -> Received:
        raw = await self._anthropic.messages.with_raw_response.create(model=model, max_tokens=100, messages=HI)
        message = await raw.parse()
        return Received(job_id=_job(raw), text="".join(block.text for block in message.content))

    async def _streamed_message(self, model: str) -> Received:
        raw = await self._anthropic.messages.with_raw_response.create(
            model=model, max_tokens=100, messages=HI, stream=True
        )
        said: list[str] = []
        try:
            async for event in await raw.parse():
                if event.type == "content_block_delta":
                    said.append(event.delta.text)  # noqa: PERF401  # They count if an error follows.
        except anthropic.APIStatusError as error:
            body: Any = error.body
            kind, message = body["error"]["type"], body["error"]["message"]
            return Received(job_id=_job(raw), text="".join(said), error=error, kind=kind, message=message)
        return Received(job_id=_job(raw), text="".join(said))


@asynccontextmanager
async def front_clients(url: str) -> AsyncGenerator[FrontClients]:
    """Clients of a gateway."""
    async with (
        AsyncOpenAI(api_key="k", base_url=f"{url}/v1", http_client=_http()) as chat,
        AsyncAnthropic(api_key="k", base_url=url, http_client=_http()) as messages,
    ):
        yield FrontClients(chat, messages)


def _http() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, timeout=60)


def _newest(said: Mapping[int, str]) -> str:
    """An answer that was begun again has another index, and only that one is in the response."""
    return said[max(said)] if said else ""


def _job(raw: Any) -> str:
    job_id: str = raw.headers.get("x-tailrace-job", "")
    return job_id
