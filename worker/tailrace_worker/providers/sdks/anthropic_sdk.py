"""Anthropic's SDK: loaded only if a provider of its kind is configured."""

import anthropic
import httpx2

from tailrace_worker.providers.anthropic.adapter import AnthropicMessages
from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.client_options import ClientOptions
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.client import Resending
from tailrace_worker.providers.http.wake_batcher import Coalescer


class HttpClient(Resending, anthropic.DefaultAioHttpClient):
    """The SDK's client over aiohttp."""


def make_provider(
    options: ClientOptions, failures: Failures, coalescer: Coalescer, http_client: httpx2.AsyncClient
) -> tuple[Provider, httpx2.URL]:
    """Makes a provider, and tells where it is. Raises the SDK's errors."""
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
        # The SDK itself says so at the first call.
        raise anthropic.AnthropicError("it has no credentials")
    return AnthropicMessages(client, failures, coalescer), client.base_url
