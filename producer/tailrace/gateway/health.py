"""Routes for load balancers: is the process alive, and should it get requests."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from tailrace import BrokerRefused, BrokerUnavailable
from tailrace.gateway.context import Gateway, gateway_of
from tailrace.gateway.errors import ErrorCode, ErrorResponse, unavailable

router: APIRouter = APIRouter(tags=["health"])

_PATIENCE_SECONDS: Final = 2.0
"""How long Redis may take: load balancers do not wait much longer."""


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Response:
    """Answer 200 for as long as the process can answer."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", summary="Should this gateway get requests?")
async def readyz(gateway: Annotated[Gateway, Depends(gateway_of)]) -> Response:
    """Answer 200 if Redis can be reached and the gateway is not about to end, and 503 otherwise."""
    if gateway.draining.has_begun:
        return ErrorResponse(503, ErrorCode.SHUTTING_DOWN, "This gateway is about to end.", retry_after_seconds=1)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await gateway.tailrace.fleet()
    except (BrokerUnavailable, BrokerRefused, TimeoutError):
        return unavailable("The gateway cannot use Redis.")
    return JSONResponse({"status": "ready"})
