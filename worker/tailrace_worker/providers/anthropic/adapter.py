"""`AnthropicMessages`: the provider for Anthropic's Messages."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx2
from anthropic import AsyncAnthropic, AsyncStream

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace_worker.providers.anthropic.decoder import MessagesDecoder
from tailrace_worker.providers.anthropic.request import body
from tailrace_worker.providers.anthropic.turn import Turn
from tailrace_worker.providers.base import Alive, Piece
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.call import Endpoint
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.providers.vocabulary import Skipped


class AnthropicMessages:
    """A provider of the kind `anthropic`."""

    prefills = True

    def __init__(
        self,
        client: AsyncAnthropic,
        failures: Failures,
        wake_batcher: WakeBatcher,
        *,
        limits: AnswerLimits | None = None,
    ) -> None:
        self.skipped = Skipped(failures.name, failures.redacted)
        """What the servers sent and this version does not know."""
        self._client = client
        self._endpoint = Endpoint(failures, self._post, wake_batcher, limits=limits)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider` describes it."""
        # The provider pauses only for tools that it runs itself, which are in `extra`. With guards, the turn is not
        # recorded, because it would contain text that the guards have not checked.
        may_pause = _has_tools(request.extra) and not request.guards
        return self._endpoint.call(body(request), MessagesDecoder(self.skipped, Turn() if may_pause else None))

    def stream_verbatim(self, request: VerbatimRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider` describes it."""
        may_pause = _has_tools(request.body) and not request.guards
        return self._endpoint.call_verbatim(request, MessagesDecoder(self.skipped, Turn() if may_pause else None))

    async def _post(self, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        stream = await self._client.post(
            "/v1/messages",
            cast_to=object,
            content=content,
            options={"headers": headers},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return stream.response


def _has_tools(fields: Mapping[str, Any]) -> bool:
    return bool(fields.keys() & {"tools", "mcp_servers"})
