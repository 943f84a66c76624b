"""The providers, by the names that requests use."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from tailrace_worker.providers.base import Provider, Unconfigured
from tailrace_worker.providers.http.connection_limits import ConnectionLimits
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.settings import ProviderEntry

_logger = logging.getLogger(__name__)


def check_providers(entries: Mapping[str, ProviderEntry]) -> None:
    """Check that at least one provider can be called, without loading an SDK.

    Args:
        entries: The providers of the settings, by name.

    Raises:
        InvalidSettings: No provider can be called. The message names the variables to set.
    """
    from tailrace_worker.providers.configured import check_any  # noqa: PLC0415

    check_any(entries)


@asynccontextmanager
async def open_providers(
    entries: Mapping[str, ProviderEntry],
    wake_batcher: WakeBatcher | None = None,
    *,
    connections: ConnectionLimits | None = None,
) -> AsyncGenerator[Mapping[str, Provider]]:
    """Open all providers, and close their connections at the exit.

    Keys and base URLs come from `TAILRACE_PROVIDERS` and from the SDKs' own environment variables. If these are missing
    or wrong, the provider is an `Unconfigured`, whose `stream` raises `PROVIDER_NOT_CONFIGURED`.

    This loads the SDKs of the kinds that can be called, each of which takes about 1 s, so open the providers before the
    first job is claimed.

    Args:
        entries: The providers of the settings, by name.
        wake_batcher: Decides when the task that reads an answer is woken, from the second piece on. `None`: at once.
        connections: The limits to connections; `None` for the defaults.

    Yields:
        The providers, by the names that requests use.
    """
    from tailrace_worker.providers.configured import configured_providers, lines  # noqa: PLC0415
    from tailrace_worker.providers.registry import opened  # noqa: PLC0415

    wake_batcher, connections = wake_batcher or WakeBatcher(interval_ms=0), connections or ConnectionLimits()
    async with opened(configured_providers(entries), wake_batcher, connections) as providers:
        problems = {name: each.problem for name, each in providers.items() if isinstance(each, Unconfigured)}
        for line in lines(problems):
            _logger.warning("%s", line)
        yield providers
