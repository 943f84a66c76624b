"""The providers, by the name that a request calls them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Provider
from tailrace_worker.settings import ProviderEntry


@asynccontextmanager
async def open_providers(
    entries: Mapping[str, ProviderEntry], coalescer: Coalescer | None = None
) -> AsyncGenerator[Mapping[str, Provider]]:
    """Opens every provider, by the request's `provider`, and closes their connections at the exit.

    Keys and base URLs come from the environment, by the SDKs' own names, and from `TAILRACE_PROVIDERS`. A provider that
    these do not allow to be made is there all the same: its `stream` raises `PROVIDER_NOT_CONFIGURED`. Loads the SDKs,
    which takes seconds: open them before the first job is claimed.

    From its second piece on an answer is read together with others, when the `coalescer` says so.
    """
    from tailrace_worker.providers.opening import opened  # noqa: PLC0415

    async with opened(entries, coalescer or Coalescer(interval_ms=0)) as providers:
        yield providers
