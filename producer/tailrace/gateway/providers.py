"""The route of providers: which ones the live workers can call."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from tailrace import WorkerStatus
from tailrace.gateway.context import Gateway, gateway_of
from tailrace.gateway.errors import failures
from tailrace.gateway.job_object import Public
from tailrace.gateway.json_response import json_response
from tailrace.gateway.principal import Principal, Scope, require

router: APIRouter = APIRouter(prefix="/v1/providers", tags=["providers"])


class ProviderObject(Public):
    """A provider that at least one worker can call."""

    name: str
    """The value for the field `provider` of a request."""
    workers: int
    """How many workers can call it."""


class ProviderList(Public):
    """The providers that can be called now."""

    providers: list[ProviderObject]
    """The providers, ordered by name."""
    chat_provider: str | None = None
    """The provider of chats whose requests name none."""
    chat_model: str | None = None
    """The model of chats whose requests name none."""


@router.get(
    "",
    summary="List providers",
    response_model=ProviderList,
    response_description="The providers.",
    responses=failures(401, 503),
)
async def list_providers(
    gateway: Annotated[Gateway, Depends(gateway_of)],
    _: Annotated[Principal, Depends(require(Scope.WRITE))],
) -> Response:
    """List the providers that the workers could call at their last heartbeats, which are at most 20 s old."""
    fleet = await gateway.tailrace.fleet()
    settings = gateway.settings
    return json_response(
        ProviderList(
            providers=_counted(fleet.workers), chat_provider=settings.chat_provider, chat_model=settings.chat_model
        )
    )


def _counted(workers: tuple[WorkerStatus, ...]) -> list[ProviderObject]:
    names = [name for worker in workers for name in worker.providers or ()]
    return [ProviderObject(name=name, workers=names.count(name)) for name in sorted(set(names))]
