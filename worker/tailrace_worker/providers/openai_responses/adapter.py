"""OpenAI's Responses, also of other servers that speak the protocol."""

from collections.abc import AsyncGenerator, Mapping

import httpx2
from openai import AsyncOpenAI, AsyncStream

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace_worker.providers.base import Alive, Piece
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.call import Endpoint
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.providers.openai_responses.decoder import ResponsesDecoder
from tailrace_worker.providers.openai_responses.request import body
from tailrace_worker.providers.vocabulary import Skipped


class OpenAIResponses:
    """A provider of the kind `openai-responses`."""

    prefills = False

    def __init__(
        self, client: AsyncOpenAI, failures: Failures, wake_batcher: WakeBatcher, *, limits: AnswerLimits | None = None
    ) -> None:
        self.skipped = Skipped(failures.name, failures.redacted)
        """What the servers sent and this version does not know."""
        self._client = client
        self._endpoint = Endpoint(failures, self._post, wake_batcher, limits=limits)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider` describes it."""
        return self._endpoint.call(body(request), ResponsesDecoder(self.skipped))

    def stream_verbatim(self, request: VerbatimRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider` describes it."""
        return self._endpoint.call_verbatim(request, ResponsesDecoder(self.skipped))

    async def _post(self, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        stream = await self._client.post(
            "/responses",
            cast_to=object,
            content=content,
            options={"headers": headers},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return stream.response
