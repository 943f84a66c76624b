"""`Authentication`: identifies who makes a request, by an API key or by the token of a URL."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.requests import Request

from tailrace import Access, ApiKey, BrokerUnavailable
from tailrace.access.api_key import key_id_of
from tailrace.access.key_store import KeyStore
from tailrace.gateway.capabilities import REFUSED, Capabilities
from tailrace.gateway.errors import RateLimited, Unauthorized
from tailrace.gateway.principal import LoopbackOnly, Principal, Scope

_T = TypeVar("_T")

_ASK_SECONDS: Final = 10.0
"""How long a question to Redis may take, in seconds, including the wait for other requests that ask one."""
_TAKING_TOKENS: Final = ("/events", "/stream", "/cancel", "/stop")
"""The endings of the paths that accept tokens: the routes with which browsers read and stop."""
_NO_KEY: Final = "Send an API key: `Authorization: Bearer trk_…`, or the same key as `X-API-Key`."
_WRONG_KEY: Final = "The API key is wrong, or it was revoked."


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationLimits:
    """The limits of what an authenticator remembers."""

    fresh_seconds: float = 2.0
    """How long a key is accepted after it was read, in seconds. A revoked key is refused after this time."""
    max_fresh: int = 1_000
    """How many keys are remembered. Only keys that exist are remembered, so wrong ones take no memory."""


class Authentication:
    """The authenticator of the gateway.

    As long as it has never found a key in Redis, everyone on this machine is the default tenant. If a file of keys is
    configured, a key is always needed.

    Args:
        access: What gateways share in Redis.
        store: The store of the API keys.
        capabilities: Verifies the tokens of URLs.
        needs_keys: True if every request needs a key, even if no key exists.
        asking: Held while Redis is asked.
        origins: The origins whose pages may call the gateway without a key, beside its own.
        limits: The limits; `None` for the defaults.
    """

    def __init__(
        self,
        access: Access,
        store: KeyStore,
        capabilities: Capabilities,
        *,
        needs_keys: bool,
        asking: asyncio.Lock,
        origins: Sequence[str] = (),
        limits: AuthenticationLimits | None = None,
    ) -> None:
        self.fresh: dict[str, tuple[float, ApiKey]] = {}
        """The keys that were read lately, by their ids, each with the time of its reading (`time.monotonic`)."""
        self._access = access
        self._store = store
        self._capabilities = capabilities
        self._needs_keys = needs_keys
        self._looked_for_keys_at: float | None = None
        self._without_keys = LoopbackOnly(origins)
        self._limits = limits or AuthenticationLimits()
        self._asking = asking

    async def authenticate(self, request: Request, scope: Scope) -> Principal:
        """Find the principal of a request.

        Args:
            request: The request.
            scope: What the route needs.

        Returns:
            The principal, which has the scope.

        Raises:
            Unauthorized: The credentials are missing or wrong, have expired, or do not include the scope.
            RateLimited: The key has made too many requests within a second.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        sent, token = _key_of(request), request.query_params.get("token")
        # The key that a client sends may have been created a moment ago.
        if not await self._are_keys_needed(look=sent is not None):
            return await self._without_keys.authenticate(request, scope)
        if sent is not None:
            return await self._with_key(sent)
        if token is None:
            raise Unauthorized(_NO_KEY)
        if not request.scope["route"].path.endswith(_TAKING_TOKENS):
            raise Unauthorized(f"This route accepts no token. {_NO_KEY}")
        return await self._with_token(token, scope)

    async def _with_key(self, sent: str) -> Principal:
        key_id = key_id_of(sent)
        key = key_id and await self._find(key_id)
        if not key or not key.is_of(sent):
            raise Unauthorized(_WRONG_KEY)
        rate = key.limits.requests_per_second
        if rate is not None and not await self._ask(lambda: self._access.request_rate.take(key.id, rate)):
            raise RateLimited(
                f"The API key made more than {rate:,} requests in a second. Send fewer.", retry_after_seconds=1
            )
        return Principal(tenant=key.tenant, key_id=key.id, limits=key.limits)

    async def _with_token(self, token: str, scope: Scope) -> Principal:
        principal = await self._capabilities.verify(token)
        key = principal.key_id and await self._find(principal.key_id)
        if not key or key.tenant != principal.tenant:
            raise Unauthorized(REFUSED)
        if principal.capability is None or scope not in principal.capability.scopes:
            raise Unauthorized(f"The token of the URL lacks the scope {scope!r}: use the URL that was returned for it.")
        return principal

    async def _find(self, key_id: str) -> ApiKey | None:
        fresh = self.fresh.get(key_id)
        if fresh is not None and time.monotonic() - fresh[0] < self._limits.fresh_seconds:
            return fresh[1]
        key = await self._ask(lambda: self._store.find(key_id))
        # A key that is remembered again moves to the end, so that the first one is the oldest.
        self.fresh.pop(key_id, None)
        if key is not None:
            if len(self.fresh) >= self._limits.max_fresh:
                del self.fresh[next(iter(self.fresh))]
            self.fresh[key_id] = (time.monotonic(), key)
        return key

    async def _are_keys_needed(self, *, look: bool) -> bool:
        if self._needs_keys:
            return True
        looked_at = self._looked_for_keys_at
        if look or looked_at is None or time.monotonic() - looked_at > self._limits.fresh_seconds:
            # Once there was a key, one is always needed: the loss of all keys must not open the gateway.
            self._needs_keys = not await self._ask(self._store.is_empty)
            self._looked_for_keys_at = time.monotonic()
        return self._needs_keys

    async def _ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(_ASK_SECONDS), self._asking:
                return await call()
        except TimeoutError:
            raise BrokerUnavailable(f"Redis did not answer within {_ASK_SECONDS:g} s.") from None


def _key_of(request: Request) -> str | None:
    """Return the API key that a request has, valid or not."""
    sent = request.headers.get("x-api-key")
    if sent is not None:
        return sent
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None
