"""Makes providers with OpenAI's SDK. This module is loaded only if one of its kinds is configured."""

from typing import Literal

import httpx2
import openai

from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.client_options import ClientOptions
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.client import Resending
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.providers.openai_chat.adapter import OpenAIChat
from tailrace_worker.providers.openai_responses.adapter import OpenAIResponses


class OpenAIHttpClient(Resending, openai.DefaultAioHttpClient):
    """The SDK's client over aiohttp."""


def make_provider(
    kind: Literal["openai", "openai-responses"],
    options: ClientOptions,
    failures: Failures,
    wake_batcher: WakeBatcher,
    http_client: httpx2.AsyncClient,
) -> tuple[Provider, httpx2.URL]:
    """Make a provider.

    Args:
        kind: The API.
        options: The options of the SDK's client.
        failures: Makes the provider's errors.
        wake_batcher: Decides when the tasks that read answers are woken.
        http_client: The client that all providers share.

    Returns:
        The provider, and its address.

    Raises:
        OpenAIError: The client cannot be made.
    """
    client = openai.AsyncOpenAI(
        api_key=options.key,
        base_url=options.url,
        default_headers=options.headers,
        max_retries=0,
        http_client=http_client,
    )
    if kind == "openai-responses":
        return OpenAIResponses(client, failures, wake_batcher), client.base_url
    is_openais = _is_openais(client.base_url)
    limit = "max_completion_tokens" if is_openais or options.url is None else "max_tokens"
    return OpenAIChat(client, failures, wake_batcher, limit=limit, is_openais=is_openais), client.base_url


def _is_openais(address: httpx2.URL) -> bool:
    # OpenAI's reasoning models reject `max_tokens`, and other servers know only that name. Ollama ignores the newer
    # one, and its answer never ends.
    return f".{address.host}".endswith((".openai.com", ".azure.com"))
