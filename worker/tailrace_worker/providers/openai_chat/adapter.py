"""OpenAI's Chat Completions, also of other servers that speak the protocol: vLLM, Ollama, llama.cpp, gateways."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import httpx2
from openai import AsyncOpenAI, AsyncStream

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace_worker.providers.base import Alive, Piece
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.call import Endpoint
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.openai_chat.decoder import ChatDecoder
from tailrace_worker.providers.openai_chat.request import body
from tailrace_worker.providers.vocabulary import Skipped


class OpenAIChat:
    """A provider of the kind `openai`."""

    prefills = False

    def __init__(
        self,
        client: AsyncOpenAI,
        failures: Failures,
        wake_batcher: WakeBatcher,
        *,
        limit: str = "max_completion_tokens",
        is_openais: bool = False,
        limits: AnswerLimits | None = None,
    ) -> None:
        """Make the adapter of a server.

        Args:
            client: The SDK's client.
            failures: Makes the provider's errors.
            wake_batcher: Decides when the tasks that read answers are woken.
            limit: The name of the field for the most output tokens.
            is_openais: True if the server is OpenAI's own.
            limits: The limits to answers; `None` for the defaults.
        """
        self.skipped = Skipped(failures.name, failures.redacted)
        """What the servers sent and this version does not know."""
        self._client = client
        self._limit = limit
        self._is_openais = is_openais
        self._endpoint = Endpoint(failures, self._post, wake_batcher, limits=limits)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider` describes it."""
        past_calls = sum(
            len(message.get("tool_calls", ())) for message in request.messages if message["role"] == "assistant"
        )
        asked = body(request, limit=self._limit, is_openais=self._is_openais)
        return self._endpoint.call(asked, ChatDecoder(self.skipped, past_calls))

    def stream_verbatim(self, request: VerbatimRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider` describes it."""
        return self._endpoint.call_verbatim(request, ChatDecoder(self.skipped, _past_calls(request.body)))

    async def _post(self, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        stream = await self._client.post(
            "/chat/completions",
            cast_to=object,
            content=content,
            options={"headers": headers},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return stream.response


def _past_calls(body: Mapping[str, Any]) -> int:
    """Return the number of tool calls in the turns of a body, which may hold anything."""
    messages = body.get("messages")
    turns = cast("list[object]", messages) if isinstance(messages, list) else []
    calls = [members(turn).get("tool_calls") for turn in turns]
    return sum(len(cast("list[object]", each)) for each in calls if isinstance(each, list))
