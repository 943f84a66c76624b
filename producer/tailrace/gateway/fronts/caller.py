"""`Caller`: who makes a request to a front, and how."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import Request

from tailrace.gateway.context import Gateway
from tailrace.gateway.jobs import IdempotencyKey, Shared, Writer
from tailrace.gateway.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request that enqueues a job, and how."""

    gateway: Gateway
    """What all routes share."""
    principal: Principal
    """Who asks."""
    headers: Headers
    """The headers of the request."""
    idempotency_key: str | None
    """The idempotency key of the request, if it has one."""


# FastAPI runs a dependency that is not a coroutine function in a thread.
async def _caller(
    request: Request, gateway: Shared, principal: Writer, idempotency_key: IdempotencyKey = None
) -> Caller:
    return Caller(gateway=gateway, principal=principal, headers=request.headers, idempotency_key=idempotency_key)


Calling = Annotated[Caller, Depends(_caller)]
"""The caller of a route, for FastAPI."""
