"""The providers, by the name that a request calls them."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from tailrace_worker.providers.base import Provider, Unconfigured
from tailrace_worker.providers.http.connection_limits import ConnectionLimits
from tailrace_worker.providers.http.wake_batcher import Coalescer
from tailrace_worker.settings import ProviderEntry

_logger = logging.getLogger(__name__)


def check_providers(entries: Mapping[str, ProviderEntry]) -> None:
    """Raises `InvalidSettings`, with the variables to set, if no provider can be called. Loads no SDK."""
    from tailrace_worker.providers.configured import check_any  # noqa: PLC0415

    check_any(entries)


@asynccontextmanager
async def open_providers(
    entries: Mapping[str, ProviderEntry],
    coalescer: Coalescer | None = None,
    *,
    connections: ConnectionLimits | None = None,
) -> AsyncGenerator[Mapping[str, Provider]]:
    """Opens every provider, by the request's `provider`, and closes their connections at the exit.

    Keys and base URLs come from the environment, by the SDKs' own names, and from `TAILRACE_PROVIDERS`. A provider that
    these do not allow to be made is there all the same, `Unconfigured`: its `stream` raises `PROVIDER_NOT_CONFIGURED`.
    Loads the SDKs of the kinds that can be called, each of which takes a second: open them before the first job is
    claimed.

    From its second piece on an answer is read together with others, when the `coalescer` says so.
    """
    from tailrace_worker.providers.configured import configured_providers, lines  # noqa: PLC0415
    from tailrace_worker.providers.registry import opened  # noqa: PLC0415

    coalescer, connections = coalescer or Coalescer(interval_ms=0), connections or ConnectionLimits()
    async with opened(configured_providers(entries), coalescer, connections) as providers:
        problems = {name: each.problem for name, each in providers.items() if isinstance(each, Unconfigured)}
        for line in lines(problems):
            _logger.warning("%s", line)
        yield providers
