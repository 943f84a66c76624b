"""Makes the providers: the shared connections, the SDKs' clients, and the adapters that use them."""

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import httpx2

from tailrace.api_kinds import ApiKind
from tailrace.errors import ProviderError
from tailrace_worker.providers.base import Provider, Unconfigured
from tailrace_worker.providers.configured import Configured
from tailrace_worker.providers.http.client import EVENT_HOOKS, Resending
from tailrace_worker.providers.http.connection_limits import ConnectionLimits
from tailrace_worker.providers.http.wake_batcher import WakeBatcher

_TIMEOUT: Final = httpx2.Timeout(None, connect=10, pool=10)
"""In seconds. The worker has its own deadlines for a job; these only end attempts to connect that hang."""
_WARM_SECONDS: Final = 10.0


@asynccontextmanager
async def opened(
    configured: Mapping[str, Configured], wake_batcher: WakeBatcher, connections: ConnectionLimits
) -> AsyncGenerator[Mapping[str, Provider]]:
    """Open the providers, which share their connections, and close the connections at the exit.

    Only the SDKs of the kinds that can be called are loaded.

    Args:
        configured: The configurations, by the provider's name.
        wake_batcher: Decides when the tasks that read answers are woken.
        connections: The limits to the connections.

    Yields:
        The providers by name. A provider that cannot be called is an `Unconfigured`.
    """
    kinds: set[ApiKind] = {each.kind for each in configured.values() if not each.problem}
    if not kinds:
        yield {name: Unconfigured(each.error, each.problem) for name, each in configured.items()}
        return
    async with _http_client(kinds, connections) as http_client:
        addresses: set[httpx2.URL] = set()
        providers = {name: _open(each, wake_batcher, http_client, addresses) for name, each in configured.items()}
        warming = [
            asyncio.create_task(_warm(http_client, address), name=f"warm {address.host}")
            for address in addresses
            for _ in range(connections.warm_connections)
        ]
        try:
            yield providers
        finally:
            for task in warming:
                task.cancel()


def _http_client(kinds: Collection[ApiKind], connections: ConnectionLimits) -> httpx2.AsyncClient:
    """Return the HTTP client of an SDK that is loaded anyway. Those of the two SDKs are equal."""
    limits = httpx2.Limits(
        max_connections=connections.max_connections,
        max_keepalive_connections=connections.max_idle_connections,
        keepalive_expiry=connections.idle_seconds,
    )
    client: type[Resending]
    if "openai" in kinds or "openai-responses" in kinds:
        from tailrace_worker.providers.sdks import openai_sdk  # noqa: PLC0415

        client = openai_sdk.OpenAIHttpClient
    else:
        from tailrace_worker.providers.sdks import anthropic_sdk  # noqa: PLC0415

        client = anthropic_sdk.AnthropicHttpClient
    return client(closed_seconds=connections.closed_seconds, timeout=_TIMEOUT, limits=limits, event_hooks=EVENT_HOOKS)


def _open(
    configured: Configured, wake_batcher: WakeBatcher, http_client: httpx2.AsyncClient, addresses: set[httpx2.URL]
) -> Provider:
    if configured.problem:
        return Unconfigured(configured.error, configured.problem)
    try:
        with configured.failures.calling(), _hidden(configured.hidden_prefix):
            provider, address = _made(configured, wake_batcher, http_client)
    except ProviderError as error:
        return Unconfigured(error, str(error))
    addresses.add(address)
    return provider


def _made(
    configured: Configured, wake_batcher: WakeBatcher, http_client: httpx2.AsyncClient
) -> tuple[Provider, httpx2.URL]:
    kind, options, failures = configured.kind, configured.options, configured.failures
    if kind == "anthropic":
        from tailrace_worker.providers.sdks import anthropic_sdk  # noqa: PLC0415

        return anthropic_sdk.make_provider(options, failures, wake_batcher, http_client)
    from tailrace_worker.providers.sdks import openai_sdk  # noqa: PLC0415

    return openai_sdk.make_provider(kind, options, failures, wake_batcher, http_client)


@contextmanager
def _hidden(prefix: str) -> Generator[None]:
    """Remove the variables with a prefix from the environment while a client is made."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if prefix and name.startswith(prefix)}
    try:
        yield
    finally:
        os.environ.update(hidden)


async def _warm(http_client: httpx2.AsyncClient, address: httpx2.URL) -> None:
    """Open a connection before the first call needs it. Errors are ignored: that call will report them."""
    with suppress(Exception):
        async with asyncio.timeout(_WARM_SECONDS):
            # OPTIONS and not HEAD, because aiohttp closes the connection after the answer to a HEAD.
            await http_client.options(address, follow_redirects=False)
