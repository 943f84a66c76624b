"""Makes providers with Anthropic's SDK. This module is loaded only if one of its kind is configured."""

import anthropic
import httpx2

from tailrace_worker.providers.anthropic.adapter import AnthropicMessages
from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.client_options import ClientOptions
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.client import Resending
from tailrace_worker.providers.http.wake_batcher import WakeBatcher


class AnthropicHttpClient(Resending, anthropic.DefaultAioHttpClient):
    """The SDK's client over aiohttp."""


def make_provider(
    options: ClientOptions, failures: Failures, wake_batcher: WakeBatcher, http_client: httpx2.AsyncClient
) -> tuple[Provider, httpx2.URL]:
    """Make a provider.

    Args:
        options: The options of the SDK's client.
        failures: Makes the provider's errors.
        wake_batcher: Decides when the tasks that read answers are woken.
        http_client: The client that all providers share.

    Returns:
        The provider, and its address.

    Raises:
        AnthropicError: The client cannot be made.
    """
    client = anthropic.AsyncAnthropic(
        api_key=options.key,
        base_url=options.url,
        default_headers=options.headers,
        max_retries=0,
        http_client=http_client,
    )
    if client.credentials is None and not {"authorization", "x-api-key"} & {
        name.lower() for name, value in client.default_headers.items() if isinstance(value, str) and value
    }:
        # The SDK itself reports this only at the first call.
        raise anthropic.AnthropicError("no credentials are set")
    return AnthropicMessages(client, failures, wake_batcher), client.base_url
