"""`Gateway`: what all routes share."""

import asyncio
from dataclasses import dataclass

from starlette.requests import Request

from tailrace import Tailrace
from tailrace.gateway.capabilities import Capabilities
from tailrace.gateway.draining import Draining
from tailrace.gateway.leaving import Leaving
from tailrace.gateway.model_names import ModelNames
from tailrace.gateway.principal import Authenticator
from tailrace.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What all routes share; it is `app.state.gateway`."""

    tailrace: Tailrace
    """The client of Redis."""
    settings: GatewaySettings
    """The settings."""
    authenticator: Authenticator
    """Finds out who makes a request."""
    capabilities: Capabilities
    """Signs the tokens of URLs."""
    draining: Draining
    """The open streams, some of which end early when the gateway is about to end."""
    asking: asyncio.Lock
    """Held while a request asks Redis for a key or for the status of a job. Each question takes a connection, and
    thousands of clients may reconnect at the same moment."""
    leaving: Leaving
    """Cancels jobs whose clients have left and cannot come back."""
    models: ModelNames
    """Finds what the names of models stand for."""


# FastAPI runs a dependency that is not a coroutine function in a thread.
async def gateway_of(request: Request) -> Gateway:
    """Return what all routes share: a dependency for FastAPI.

    Args:
        request: A request to the gateway.
    """
    gateway: Gateway = request.app.state.gateway
    return gateway
