"""Makes the providers: the connections, the SDKs' clients, and the adapters that speak through them."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import anthropic
import httpx2
import openai

from tailrace.errors import ProviderError
from tailrace.request import GenerationRequest
from tailrace.support import API_KINDS, ApiKind
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Alive, Piece, Provider
from tailrace_worker.providers.anthropic_messages import AnthropicMessages
from tailrace_worker.providers.client_options import NO_KEY, ClientOptions, read_entry
from tailrace_worker.providers.failures import Failures
from tailrace_worker.providers.openai_chat import OpenAIChat
from tailrace_worker.providers.openai_responses import OpenAIResponses
from tailrace_worker.settings import ProviderEntry

_TIMEOUT: Final = httpx2.Timeout(None, connect=10, pool=10)
"""Seconds. The deadlines of a job are the worker's; these only free what is dead."""
_LIMITS: Final = httpx2.Limits(max_connections=10_000, max_keepalive_connections=1_000, keepalive_expiry=60)
"""One connection a stream: how many there are is decided by the worker, never by the pool."""
_WARM_CONNECTIONS: Final = 2
_WARM_SECONDS: Final = 10.0
_MAX_OTHER_BYTES: Final = 65_536
"""How much is read of what is no answer, such as an error."""
_CLOSED_SECONDS: Final = 1.0
"""Within which a connection that was closed already is found to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """Who runs an API, and what its SDK reads from the environment."""

    name: str
    prefix: str
    """Of all variables that the SDK reads: its account and its headers as well."""
    key_variables: tuple[str, ...]
    url_variable: str


_OPENAI: Final = _Owner(
    name="OpenAI",
    prefix="OPENAI_",
    key_variables=("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"),
    url_variable="OPENAI_BASE_URL",
)
_ANTHROPIC: Final = _Owner(
    name="Anthropic",
    prefix="ANTHROPIC_",
    key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    url_variable="ANTHROPIC_BASE_URL",
)
_OWNERS: Final[Mapping[ApiKind, _Owner]] = {
    "openai": _OPENAI,
    "openai-responses": _OPENAI,
    "anthropic": _ANTHROPIC,
}


@asynccontextmanager
async def opened(entries: Mapping[str, ProviderEntry], coalescer: Coalescer) -> AsyncGenerator[Mapping[str, Provider]]:
    """Opens the providers of the three APIs, and those of the settings; closes their connections at the exit."""
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [_without_key], "response": [_bound]}
    async with _Client(timeout=_TIMEOUT, limits=_LIMITS, event_hooks=hooks) as http_client:
        opening = _Opening(http_client, coalescer)
        providers: dict[str, Provider] = {kind: opening.builtin(kind) for kind in API_KINDS}
        providers |= {name: opening.named(name, entry) for name, entry in entries.items()}
        warming = [
            asyncio.create_task(_warm(http_client, address), name=f"warm {address.host}")
            for address in opening.addresses
            for _ in range(_WARM_CONNECTIONS)
        ]
        try:
            yield providers
        finally:
            for task in warming:
                task.cancel()


class _Opening:
    """Makes providers that share their connections; `addresses` are where those go."""

    def __init__(self, http_client: httpx2.AsyncClient, coalescer: Coalescer) -> None:
        self.addresses: set[httpx2.URL] = set()
        self._http_client = http_client
        self._coalescer = coalescer

    def builtin(self, kind: ApiKind) -> Provider:
        """A provider as its SDK finds it in the environment."""
        owner = _OWNERS[kind]
        failures = Failures(owner.name, key_variables=owner.key_variables, url=owner.url_variable)
        return self._provider(kind, failures, ClientOptions())

    def named(self, name: str, entry: ProviderEntry) -> Provider:
        """A provider of the settings. What the environment holds for the API's owner is nothing that it may get."""
        options, failures = read_entry(name, entry)
        with _hidden(_OWNERS[entry.kind].prefix):
            return self._provider(entry.kind, failures, options)

    def _provider(self, kind: ApiKind, failures: Failures, options: ClientOptions) -> Provider:
        try:
            with failures.calling():
                if options.problem:
                    raise openai.OpenAIError(options.problem)
                match kind:
                    case "openai":
                        client = self._openai(options)
                        is_openais = _is_openais(client.base_url)
                        knows_limit = is_openais or options.url is None
                        limit = "max_completion_tokens" if knows_limit else "max_tokens"
                        return OpenAIChat(client, failures, self._coalescer, limit=limit, is_openais=is_openais)
                    case "openai-responses":
                        return OpenAIResponses(self._openai(options), failures, self._coalescer)
                    case "anthropic":
                        return AnthropicMessages(self._anthropic(options), failures, self._coalescer)
        except ProviderError as error:
            return _NotConfigured(error)

    def _openai(self, options: ClientOptions) -> openai.AsyncOpenAI:
        client = openai.AsyncOpenAI(
            api_key=options.key,
            base_url=options.url,
            default_headers=options.headers,
            max_retries=0,
            http_client=self._http_client,
        )
        self.addresses.add(client.base_url)
        return client

    def _anthropic(self, options: ClientOptions) -> anthropic.AsyncAnthropic:
        client = anthropic.AsyncAnthropic(
            api_key=options.key,
            base_url=options.url,
            default_headers=options.headers,
            max_retries=0,
            http_client=self._http_client,
        )
        self.addresses.add(client.base_url)
        return client


def _is_openais(address: httpx2.URL) -> bool:
    # Its reasoning models refuse `max_tokens`, and other servers know nothing else: Ollama goes on for ever.
    return f".{address.host}".endswith((".openai.com", ".azure.com"))


@contextmanager
def _hidden(prefix: str) -> Generator[None]:
    """Takes the variables of this prefix out of the environment, for as long as a client is made."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(prefix)}
    try:
        yield
    finally:
        os.environ.update(hidden)


async def _warm(http_client: httpx2.AsyncClient, address: httpx2.URL) -> None:
    """Makes a connection before the first call needs it. What goes wrong is left for that call to tell."""
    with suppress(Exception):
        async with asyncio.timeout(_WARM_SECONDS):
            # Behind the answer to a HEAD, aiohttp closes the connection.
            await http_client.options(address, follow_redirects=False)


class _Client(openai.DefaultAioHttpClient):
    """Sends a request once more where the connection is closed at once in place of an answer."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        sent_at = time.monotonic()
        try:
            return await super().send(request, **options)
        except httpx2.TransportError as error:
            # A server may close a connection just as the next request goes out on it; aiohttp sends no POST again. One
            # that took its time may have worked on the request, and count it.
            if not _was_closed(error.__cause__) or time.monotonic() - sent_at > _CLOSED_SECONDS:
                raise
        return await super().send(request, **options)


def _was_closed(cause: BaseException | None) -> bool:
    """Whether a connection was there, and no answer came by it."""
    return isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not isinstance(
        cause, aiohttp.ClientConnectorError
    )


async def _without_key(request: httpx2.Request) -> None:
    if request.headers.get("authorization") == f"Bearer {NO_KEY}":
        del request.headers["authorization"]


async def _bound(response: httpx2.Response) -> None:
    # The SDKs read an error's body to its end before they tell of it, however large it is.
    if not (response.is_success and response.request.method == "POST"):
        response.stream = _Beginning(response)
        response.headers.pop("content-encoding", None)


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body, decoded, as far as they can be had: its status counts without them."""

    def __init__(self, response: httpx2.Response) -> None:
        self._whole = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _MAX_OTHER_BYTES
        with suppress(Exception):
            async with aclosing(self._whole.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    yield chunk[:left]
                    left -= len(chunk)
                    if left <= 0:
                        break

    async def aclose(self) -> None:
        await self._whole.aclose()


class _NotConfigured:
    """Stands in for a provider that could not be made."""

    prefills = False

    def __init__(self, error: ProviderError) -> None:
        self._error = error

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:  # noqa: ARG002
        error = self._error
        raise ProviderError(str(error), code=error.code, retryable=error.retryable) from error
        yield  # type: ignore[unreachable]  # makes it a generator
