"""Routes for load balancers: is the process alive, and should it get requests."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from tailrace import BrokerRefused, BrokerUnavailable
from tailrace.gateway.context import Gateway, gateway_of
from tailrace.gateway.errors import ErrorCode, ErrorResponse, failures, unavailable

router: APIRouter = APIRouter(tags=["health"])

_PATIENCE_SECONDS: Final = 2.0
"""How long Redis may take to reply, in seconds. Load balancers do not wait much longer."""


@router.get("/healthz", summary="Is the process alive?", response_description="The process is alive.")
async def healthz() -> Response:
    """Return 200 for as long as the process can respond. It needs no API key."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    summary="Should this gateway get requests?",
    response_description="The gateway can take requests.",
    responses=failures(503),
)
async def readyz(gateway: Annotated[Gateway, Depends(gateway_of)]) -> Response:
    """Return 200 if Redis can be reached and the gateway is not about to end, and 503 otherwise.

    It needs no API key.
    """
    if gateway.draining.has_begun:
        return ErrorResponse(
            503,
            ErrorCode.SHUTTING_DOWN,
            "This gateway is about to end. Send the request to another one.",
            retry_after_seconds=1,
        )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await gateway.tailrace.fleet()
    except (BrokerUnavailable, BrokerRefused, TimeoutError):
        return unavailable("The gateway cannot use Redis. Try again later.")
    return JSONResponse({"status": "ready"})
