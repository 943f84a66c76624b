"""The providers, by the name that a request calls them."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from tailrace.errors import ProviderError
from tailrace.request import GenerationRequest
from tailrace_worker.provider import Piece, Provider


@asynccontextmanager
async def open_providers() -> AsyncGenerator[Mapping[str, Provider]]:
    """Opens every provider, by the request's `provider`, and closes them at the exit.

    Keys and base URLs come from the environment, by the SDKs' own names. A provider that these do not allow to be made
    is there all the same: its `stream` raises `PROVIDER_NOT_CONFIGURED`. Loads the SDKs, which takes seconds: open them
    before the first job is claimed.
    """
    from tailrace_worker.providers.anthropic_messages import AnthropicMessages  # noqa: PLC0415
    from tailrace_worker.providers.openai_chat import OpenAIChat  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        providers = {"openai": _made(OpenAIChat), "anthropic": _made(AnthropicMessages)}
        for provider in providers.values():
            stack.push_async_callback(provider.aclose)
        yield providers


def _made(make: Callable[[], Provider]) -> Provider:
    try:
        return make()
    except ProviderError as error:
        return _NotConfigured(error)


class _NotConfigured:
    """Stands in for a provider that could not be made."""

    def __init__(self, error: ProviderError) -> None:
        self._error = error

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:  # noqa: ARG002
        error = self._error
        raise ProviderError(str(error), code=error.code, retryable=error.retryable) from error
        yield  # type: ignore[unreachable]  # makes it a generator

    async def aclose(self) -> None:
        pass
