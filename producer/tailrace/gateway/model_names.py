"""`ModelNames`: from the name that a client asks for to a provider and its model."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from tailrace import Fleet, Tailrace
from tailrace.api_kinds import API_KINDS, ApiKind, builtin_kind
from tailrace.gateway.errors import UnknownModel
from tailrace.gateway.model_table import ModelEntry, ModelTable

_FRESH_SECONDS: Final = 5.0
"""How old the list of the workers' providers may be: workers report them every 5 s."""
_MAX_TOLD: Final = 20
"""How many names an error has."""


class ModelNames:
    """Finds what the names of models stand for. All requests to a gateway share one.

    Args:
        tailrace: The client.
        table: The names in the settings.
    """

    def __init__(self, tailrace: Tailrace, table: ModelTable) -> None:
        self.table: ModelTable = table
        """The names in the settings."""
        self._tailrace = tailrace
        # Every worker knows the providers that have the names of APIs.
        self._providers: frozenset[str] = frozenset(API_KINDS)
        self._kinds: Mapping[str, ApiKind] = {}
        self._read_at: float | None = None
        # One connection to Redis is enough for all requests: most of them ask nothing.
        self._reading = asyncio.Lock()

    async def find(self, asked: str) -> tuple[str, ModelEntry]:
        """Find what a name stands for.

        Args:
            asked: The name: one in the table, one that fits a pattern there, or `provider/model`.

        Returns:
            The name of the model for the provider if the entry has none, and the entry.

        Raises:
            UnknownModel: It is none of these. The message names what there is.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        entry = self.table.find(asked)
        if entry is not None:
            return asked, entry
        provider, _, model = asked.partition("/")
        if model and (builtin_kind(provider) or provider in await self.providers()):
            return model, ModelEntry(provider=provider)
        raise UnknownModel(await self._told(asked))

    async def providers(self) -> frozenset[str]:
        """Return the providers that can be called: the built-in ones, and those that workers reported.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        async with self._reading:
            if self._read_at is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
                fleet = await self._tailrace.fleet()
                reported = (name for worker in fleet.workers for name in worker.providers or ())
                self._providers = frozenset((*API_KINDS, *reported))
                self._kinds = _kinds(fleet)
                self._read_at = time.monotonic()
        return self._providers

    async def kind_of(self, provider: str) -> ApiKind | None:
        """Find which API a provider speaks.

        Args:
            provider: The name of the provider.

        Returns:
            The kind of its API; `None` if no live worker has reported it, or if workers differ.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        if kind := builtin_kind(provider):
            return kind
        await self.providers()
        return self._kinds.get(provider)

    async def _told(self, asked: str) -> str:
        names = [*self.table.entries, *(f"{name}/MODEL" for name in sorted(await self.providers()))]
        more = f", and {len(names) - _MAX_TOLD:,} more" if len(names) > _MAX_TOLD else ""
        return f"There is no model {asked[:256]!r}. Ask for one of: {', '.join(names[:_MAX_TOLD])}{more}."


def _kinds(fleet: Fleet) -> Mapping[str, ApiKind]:
    reported = defaultdict[str, set[str]](set)
    for worker in fleet.workers:
        for name, kind in worker.kinds.items():
            reported[name].add(kind)
    return {name: kind for name, kinds in reported.items() for kind in API_KINDS if kinds == {kind}}
